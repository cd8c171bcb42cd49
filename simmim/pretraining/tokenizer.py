"""Makes the tokenizer of a row of config/tokenizers.tsv, and reads it back for pre-training (section 4.1.5)."""

from __future__ import annotations

import inspect
import sys
from pathlib import Path

import numpy as np
import torch
from torch import nn

from simmim import plugin
from simmim.config.differences import refuse_changed
from simmim.config.models import TokenizerConfig
from simmim.data.index import read_index
from simmim.data.pretraining import whole_images
from simmim.data.shards import Shards
from simmim.storage import finished, model_file
from simmim.storage.files import sha256_file
from simmim.storage.identity import Identity, code_version
from simmim.tokenizers._usage import usage
from simmim.train.processes import Processes, seed_libraries

_MEASURED_IMAGES, _IMAGE_PX = 256, 96  # the side for a kind without this setting
_FEW_CODES = 4  # a perplexity up to this, of less than 8 codes up to half of them, or up to a hundredth, is a collapse


def identity_of(config: TokenizerConfig, source: Path) -> Identity:
    """What a tokenizer belongs to; `source` as for `make_tokenizer`."""
    if config.published_file:
        return Identity(config.as_json(), config.seed, made_from={"published": sha256_file(source)})
    return Identity(config.as_json(), config.seed, {"train": read_index(source)["digest"]})


def state_of(out: Path) -> Path:
    """Folder of what the making of a tokenizer has done so far."""
    return out.with_name(f"{out.stem}_state")


def make_tokenizer(config: TokenizerConfig, source: Path, out: Path, processes: Processes) -> None:
    """Learn a tokenizer, or take over published weights, and write it to `out`.

    Several processes train together; all else is the work of the main one, before whose end the others return.

    Args:
        source: folder of the packed data set to learn from, or the published file.
    """
    seed_libraries(config.seed, 0, 0)
    tokenizer, header = build_tokenizer(config), {"tokenizer": config.as_json()}
    train_together = tokenizer.is_trained and not config.published_file
    if not (processes.is_main_process or train_together):
        return
    if config.published_file:
        tokenizer.load_published(source)
        header["source_sha256"] = sha256_file(source)
    else:
        shards = Shards(source)
        tokenizer.fit(shards, config, state_of(out), processes)
        if not processes.is_main_process:
            return
        found = measured(tokenizer.eval(), shards, image_px_of(config))
        header |= {"data_digest": shards.digest, "measured": found}
        print(f"{out}: {found}", flush=True)
        _warn_of_collapse(config, tokenizer, found["perplexity"])
    model_file.write(out, tokenizer, header | {"code_version": code_version()})
    finished.keep(state_of(out), [out], identity_of(config, source))


def image_px_of(config: TokenizerConfig) -> int:
    """Side of the images that a tokenizer learns from: as its row sets it, or as its kind does."""
    arguments = inspect.signature(plugin.component("tokenizers", config.kind.name)).parameters
    of_kind = arguments["image_px"].default if "image_px" in arguments else _IMAGE_PX
    return config.kind.settings.get("image_px", of_kind)


def _warn_of_collapse(config: TokenizerConfig, tokenizer: nn.Module, perplexity: float) -> None:
    codes = tokenizer.codes
    if perplexity <= max(min(_FEW_CODES, codes / 2), codes / 100):
        trained, fitted = (
            "train it for longer or see docs/dvae.md",
            "see whether the images are nearly all of one colour",
        )
        print(
            f"warning: tokenizer '{config.name}' has collapsed: its {codes} codes have a perplexity of {perplexity:g} "
            f"and say next to nothing of an image; {trained if tokenizer.is_trained else fitted}",
            file=sys.stderr,
            flush=True,
        )


def is_made(out: Path, config: TokenizerConfig, identity: Identity) -> bool:
    """Whether a tokenizer is there, whole, and belongs to this; one of something else is never overwritten.

    Args:
        identity: as of `identity_of`.
    """
    if not out.is_file():
        return False
    header, _ = model_file.read(out, "tokenizer")
    before = {"config": header["tokenizer"], "made_from": {"published": header.get("source_sha256")}}
    digests = {"train": header["data_digest"]} if "data_digest" in header else {}
    refuse_changed(out, before | {"data_digests": digests}, identity, remove=out)
    load_tokenizer(out, config)
    print(f"{out} is finished, nothing to do")
    return True


def build_tokenizer(config: TokenizerConfig) -> nn.Module:
    """The tokenizer of a config, before it has learnt anything.

    Raises:
        ValueError: for an unknown setting, or when the settings of its training are missing.
    """
    tokenizer = plugin.build("tokenizers", config.kind)
    if tokenizer.is_trained and config.train is None:
        raise ValueError(f"tokenizer '{config.name}' is trained: give it train.epochs, train.batch, train.base_lr")
    return tokenizer


def load_tokenizer(path: Path, config: TokenizerConfig) -> nn.Module:
    """The tokenizer in a file.

    Raises:
        ValueError: for a file that is damaged, no tokenizer, or made with another config.
    """
    header, state = model_file.read(path, "tokenizer")
    refuse_changed(path, {"config": header["tokenizer"]}, Identity(config.as_json()), remove=path)
    tokenizer = build_tokenizer(config)
    model_file.load(path, "tokenizer", tokenizer, state)
    return tokenizer


@torch.inference_mode()
def measured(tokenizer: nn.Module, shards: Shards, image_px: int) -> dict[str, float]:
    """How well the first images, as they are packed (a few classes' only), come back, and how many codes they use.

    Args:
        image_px: side to which the images are resized, that of the training.

    Returns:
        `images`; `codes_used`; `perplexity` of the codes' frequencies; `l1`, the mean absolute error in [0, 1].
    """
    samples = np.arange(min(len(shards), _MEASURED_IMAGES))
    device = next((tensor.device for tensor in tokenizer.state_dict().values()), torch.device("cpu"))
    counts, error = torch.zeros(tokenizer.codes, dtype=torch.int64), 0.0
    for part in np.array_split(samples, -(-len(samples) // 32)):
        images = whole_images(shards, part, (image_px, image_px), 3).to(device).float() / 255
        codes = tokenizer.encode(images)
        counts += torch.bincount(codes.flatten(), minlength=tokenizer.codes).cpu()
        error += (tokenizer.decode(codes) - images).abs().mean().item() * len(part)
    return {"images": len(samples)} | usage(counts) | {"l1": round(error / len(samples), 5)}
