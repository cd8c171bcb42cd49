"""What parsing cannot see: builds the components of every row of a scale before any job starts."""

from __future__ import annotations

import torch

from simmim import plugin
from simmim.config import DoesNotFit, Sheets
from simmim.pretrain import build_task


def check_scale(sheets: Sheets, scale: str) -> None:
    """Build every model and component of a scale without weights or data, and print what does not fit.

    Raises:
        ValueError: naming every row that cannot be built and why.
    """
    faults = []
    for run in sheets.runs(scale):
        try:
            config = sheets.pretraining(scale, run)
            _build(config)
            _check_transfers(sheets, scale, run, config)
        except DoesNotFit as reason:
            print(f"{run}: does not fit: {reason}")
        except plugin.NotInstalled as reason:
            print(f"{run}: cannot be trained here: {reason}")
        except ValueError as error:
            faults.append(f"row '{run}': {error}")
    print(f"scale '{scale}': {len(sheets.runs(scale))} runs, {len(sheets.evaluations(scale))} evaluations checked")
    if faults:
        raise ValueError("\n".join(faults))


def _build(config: dict) -> None:
    with torch.device("meta"):
        build_task(config)
    if config["mask"]:
        plugin.build("masks", config["mask"])


def _check_transfers(sheets: Sheets, scale: str, run: str, config: dict) -> None:
    encoder = plugin.component("encoders", config["encoder"]["name"])
    for _, evaluation in [row for row in sheets.evaluations(scale) if row[0] == run]:
        for setting in sheets.evaluation(scale, run, evaluation)["encoder"]:
            what = f"transfer setting of encoder={config['encoder']['name']} in {evaluation}"
            plugin.check_choice(what, setting, encoder.transfer_settings)
