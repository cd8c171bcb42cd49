"""The method that a config describes: fresh, or as a finished run left it."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

from torch import nn

from simmim import methods, plugin
from simmim.config.models import PretrainConfig
from simmim.config.sections import ImagesSection
from simmim.methods._method import Method
from simmim.pretraining.tokenizer import build_tokenizer, load_tokenizer
from simmim.storage import model_file


def build_method(
    config: PretrainConfig, tokenizer: nn.Module | None = None, images: ImagesSection | None = None
) -> Method:
    """The method of a config, freshly initialised, given those sections that its constructor names.

    Args:
        tokenizer: the one that the target names; by default one that has learnt nothing yet.
        images: that section with the measured statistics; by default the config's, in which numbers stand for them
            that only a network which is never run may have.

    Raises:
        ValueError: for components that are unknown or do not fit each other, and for a method that needs an optional
            package which is not installed.
    """
    named = inspect.signature(plugin.component("methods", config.method.name)).parameters
    sections = {name: getattr(config, name) for name in methods.CONTEXT if name in named}
    unmeasured = [0.5] * config.channels
    sections["images"] = images or config.images.normalised_by(unmeasured, unmeasured)
    if config.tokenizer and "tokenizer" in named:
        sections["tokenizer"] = tokenizer or build_tokenizer(config.tokenizer)
    method = plugin.build("methods", config.method, **sections)
    if method.has_teacher and (config.init.encoder or config.init.run or config.train.sharded):
        raise ValueError(
            f"method={config.method.name} has a teacher: it takes no init.encoder, no train.sharded and no init.run, "
            "for what it does at a step depends on the length of the whole run; leave these out"
        )
    return method


def load_method(config: PretrainConfig, run: Path, tokenizer: Path | None) -> tuple[Method, dict[str, Any]]:
    """The method of a finished run, and the header of its files: where it comes from, and its number of steps.

    Args:
        run: folder of the files of one seed.
        tokenizer: file of the tokenizer that the target names, if it names one.

    Raises:
        ValueError: for files that belong to another config.
    """
    images = config.images
    if images.is_measured:
        header, _ = model_file.read(run / "encoder.safetensors", "encoder")
        images = images.normalised_by(header["mean"], header["std"])
    method = build_method(config, load_tokenizer(tokenizer, config.tokenizer) if tokenizer else None, images)
    for kind, place in (("encoder", method.kept_encoder), ("head", method.kept_head)):
        path = run / f"{kind}.safetensors"
        header, state = model_file.read(path, kind)
        if header["config_hash"] != config.hash:
            raise ValueError(f"{path} was made with another config; pre-train {run.parent} again")
        model_file.load(path, kind, method.get_submodule(place), state)
    return method, header
