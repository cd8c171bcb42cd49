"""What parsing cannot see: builds the components of every row of a scale before any job starts."""

from __future__ import annotations

import functools
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from traceback import extract_tb

import numpy as np

from simmim import plugin
from simmim.config.errors import DoesNotFit, located_at
from simmim.config.evaluate_models import EvaluateConfig
from simmim.config.evaluation import features_config
from simmim.config.models import PretrainConfig
from simmim.config.sections import sides
from simmim.config.sheets import Sheets
from simmim.data.pretraining import hidden_tokens
from simmim.evaluate.features import hidden_of
from simmim.geometry import Geometry
from simmim.methods._method import Method
from simmim.planning.network import SizedEncoder, build_encoder, on_meta
from simmim.planning.transfer_network import build_transfer
from simmim.plugin import Component
from simmim.pretraining.method import build_method

_CLASSES = 2  # however many a data set has, they fit or do not fit alike
_IMAGES = 16  # whose masks are looked at
_PACKAGE = str(Path(plugin.__file__).parent)


def check_scale(sheets: Sheets, scale: str, runs: Collection[str] = ()) -> None:
    """Build the networks of a scale without weights or data, and print what does not fit.

    Args:
        runs: rows of pretrain.tsv to look at, with their evaluations; all that the scale has by default.

    Raises:
        ValueError: naming every row that cannot be built and why.
    """
    faults: list[str] = []
    runs = runs or sheets.runs(scale)
    for run in runs:
        try:
            _check_run(sheets, scale, run, faults)
        except DoesNotFit as misfit:
            print(f"{run}: {misfit.message}: {misfit.reason}")
        except ValueError as error:
            faults.append(str(error))
    print(f"scale '{scale}': {len(runs)} runs and their evaluations checked")
    if faults:
        raise ValueError("\n".join(faults))


def _check_run(sheets: Sheets, scale: str, run: str, faults: list[str]) -> None:
    config = sheets.pretraining(scale, run)
    with _row(sheets.place("pretrain", run)):
        try:
            _build(config)
        except plugin.NotInstalled as missing:
            print(f"{run}: cannot be trained here: {missing}")
    for _, evaluation in [row for row in sheets.evaluations(scale) if row[0] == run]:
        try:
            transfer = sheets.evaluation(scale, run, evaluation)
            with _row(sheets.place("evaluate", run, evaluation)):
                _build_transfer(config, transfer)
        except DoesNotFit as misfit:
            print(f"{run} {evaluation}: {misfit.message}: {misfit.reason}")
        except ValueError as error:
            faults.append(str(error))


@contextmanager
def _row(place: str) -> Iterator[None]:
    """Begin what is wrong with a row with its place."""
    with located_at(place), _in_words():
        yield


@contextmanager
def _in_words() -> Iterator[None]:
    """Say what is wrong in one sentence; a file that someone has added may raise anything."""
    try:
        yield
    except ValueError:
        raise
    except Exception as error:
        ours = [each for each in extract_tb(error.__traceback__) if each.filename.startswith(_PACKAGE)]
        said = " ".join(str(error).split())
        raise ValueError(f"{ours[-1].filename}, line {ours[-1].lineno}: {type(error).__name__}: {said}") from error


def check_pretraining(config: PretrainConfig) -> None:
    """Build what one config trains, without weights or data, and draw some masks.

    Raises:
        ValueError: for what cannot be built, or hides nothing or everything.
    """
    with _in_words():
        _build(config)


def check_transfer(config: PretrainConfig, transfer: EvaluateConfig) -> None:
    """The same for what an evaluation builds on the encoder of a pre-training."""
    with _in_words():
        _build_transfer(config, transfer)


def _build(config: PretrainConfig) -> None:
    mask = plugin.build("masks", config.mask) if config.mask else None
    same = {"run": "", "data": {}, "numerics": {}}
    same |= {"mask": Component(name="random", ratio=0.5)} if mask else {}
    method = _build_once(config.model_copy(update=same).model_dump_json())
    if mask:  # some masks are impossible on some grids
        encoder, sizes = method.get_submodule(method.trained_encoder), config.geometry
        geometry = Geometry(sizes.image_px, encoder.token, encoder.stride, sizes.masked_patch_px)
        hidden_tokens(mask, geometry, 0, 0, np.arange(_IMAGES))


@functools.cache
def _build_once(config: str) -> Method:
    """A network that many rows share is built for the first of them."""
    with on_meta():
        return build_method(PretrainConfig.model_validate_json(config))


def _build_transfer(config: PretrainConfig, transfer: EvaluateConfig) -> None:
    """The encoder as an evaluation would load it, with what it changes about it, and the task's heads on it."""
    allowed = plugin.component("encoders", config.encoder.name).transfer_settings
    for setting in transfer.encoder:
        plugin.check_choice(f"transfer setting of encoder={config.encoder.name}", setting, allowed)
    sized = SizedEncoder(transfer.encoder_of(config), sides(transfer.settings.image_px), config.channels)
    if transfer.settings.reads_features:
        hidden_of(build_encoder(sized), features_config(transfer), range(_IMAGES))
    else:
        _build_transfer_once(transfer.task, transfer.settings, sized, _CLASSES)


_build_transfer_once = functools.cache(build_transfer)
