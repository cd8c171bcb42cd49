"""What parsing cannot see: builds the components of every row of a scale before any job starts."""

from __future__ import annotations

import functools
import json
from collections.abc import Collection

import numpy as np
import torch
from torch import nn

from simmim import plugin
from simmim.config.resolve import Config, DoesNotFit, located_at
from simmim.config.sheets import Sheets
from simmim.config.start import encoder_section
from simmim.data.pretraining import hidden_tokens
from simmim.evaluate.pyramid import check_dense
from simmim.pretrain.run import build_task


def check_scale(sheets: Sheets, scale: str, runs: Collection[str] = ()) -> None:
    """Build the networks of a scale without weights or data, and print what does not fit.

    Args:
        runs: rows of pretrain.tsv to look at, with their evaluations; all that the scale has by default.

    Raises:
        ValueError: naming every row that cannot be built and why.
    """
    faults, runs = [], runs or sheets.runs(scale)
    for run in runs:
        try:
            _check_run(sheets, scale, run, faults)
        except DoesNotFit as misfit:
            print(f"{run}: {misfit.words}: {misfit.reason}")
        except ValueError as error:
            faults.append(str(error))
    print(f"scale '{scale}': {len(runs)} runs and their evaluations checked")
    if faults:
        raise ValueError("\n".join(faults))


def _check_run(sheets: Sheets, scale: str, run: str, faults: list[str]) -> None:
    config = sheets.pretraining(scale, run)
    with located_at(sheets.place("pretrain", run)):
        try:
            _build(config)
        except plugin.NotInstalled as missing:
            print(f"{run}: cannot be trained here: {missing}")
    for _, evaluation in [row for row in sheets.evaluations(scale) if row[0] == run]:
        try:
            transfer = sheets.evaluation(scale, run, evaluation)
            with located_at(sheets.place("evaluate", run, evaluation)):
                _build_transfer(config, transfer)
        except DoesNotFit as misfit:
            print(f"{run} {evaluation}: {misfit.words}: {misfit.reason}")
        except ValueError as error:
            faults.append(str(error))


def _build(config: Config) -> None:
    kept = {key: value for key, value in config.items() if key not in ("run", "config_hash", "seeds", "mask")}
    task = _build_once(json.dumps(kept))
    if config["mask"]:  # some masks are impossible on some grids
        hidden_tokens(plugin.build("masks", config["mask"]), task.model.geometry, 0, 0, np.arange(1))


@functools.cache
def _build_once(config: str) -> nn.Module:
    """A network that many rows share is built for the first of them."""
    with torch.device("meta"):
        return build_task(json.loads(config))


def _build_transfer(config: Config, transfer: Config) -> None:
    """The encoder as an evaluation would load it, with what it changes about it and at its size of image."""
    section = config["encoder"]
    allowed = plugin.component("encoders", section["name"]).transfer_settings
    for setting in transfer["encoder"]:
        plugin.check_choice(f"transfer setting of encoder={section['name']}", setting, allowed)
    side = transfer["settings"]["image_px"]
    encoder = _build_encoder_once(json.dumps(encoder_section(config, transfer)), side, len(config["images"]["mean"]))
    if transfer["task"] in ("detect", "segment"):
        check_dense(encoder, transfer["task"])


@functools.cache
def _build_encoder_once(section: str, image_px: int, in_channels: int) -> nn.Module:
    with torch.device("meta"):
        return plugin.build("encoders", json.loads(section), image_px=(image_px, image_px), in_channels=in_channels)
