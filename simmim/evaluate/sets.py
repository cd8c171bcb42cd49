"""Looks at an evaluation's packed sets before anything is trained."""

from __future__ import annotations

import sys
from collections.abc import Mapping

from simmim import plugin
from simmim.config.evaluate_models import EvaluateConfig
from simmim.data.requirements import images_in_both, require_same_classes
from simmim.data.shards import Shards
from simmim.train.processes import Processes


def check_sets(config: EvaluateConfig, sets: Mapping[str, Shards], processes: Processes) -> None:
    """Refuse what would only fail, or be scored wrongly, after the training; warn of what is scored too well."""
    if config.train:
        config.settings.check_training(config.train, processes.world)
    require_same_classes(sets["train"], sets.values())
    for split, each in sets.items():
        plugin.task(config.task).check_set(each)
        if processes.is_main_process and split != "train" and (shared := images_in_both(sets["train"], each)):
            print(
                f"warning: {shared} of {len(each)} images in {each.folder} are in {sets['train'].folder} too, so that "
                "scores on them say little; take them out of one of the two, then pack again",
                file=sys.stderr,
                flush=True,
            )
