"""Runs with the step schedule share the stage before their first milestone (section 4.3; Table 9, appendix B)."""

from __future__ import annotations

from simmim.config.differences import differing_fields
from simmim.config.machine_settings import without_machine_settings
from simmim.config.models import PretrainConfig

_OWN = {"scale", "run", "numerics", "init"}
_LENGTHS = {"epochs", "milestones"}


def check_first_stage(config: PretrainConfig, shorter: PretrainConfig) -> None:
    """Refuse a run that cannot begin with the first stage of another, `shorter` one.

    Raises:
        ValueError: naming the settings in which they differ, the milestone that comes too early, or an unused encoder.
    """
    place = f"init.run={config.init.run}"
    if config.init.encoder:
        raise ValueError(
            f"{place} begins with that run's weights, which would replace those of init.encoder: leave it out"
        )
    same = [
        without_machine_settings(each.model_dump(mode="json", exclude={**dict.fromkeys(_OWN, True), "train": _LENGTHS}))
        for each in (shorter, config)
    ]
    if changed := differing_fields(*same):
        raise ValueError(f"{place}: only runs that differ in length share a first stage; {'; '.join(changed)}")
    if not (config.has_first_stage and shorter.has_first_stage):
        raise ValueError(f"{place}: only runs with train.schedule=step have a first stage of constant rate")
    if shorter.seeds < config.seeds:
        raise ValueError(f"{place}: it has {shorter.seeds} seeds, this row {config.seeds}")
    mine, theirs = (min(each.milestones, default=1) * each.epochs for each in (config.train, shorter.train))
    if mine < theirs:
        raise ValueError(f"{place}: its first milestone, {theirs:g} epochs, comes after this run's, {mine:g} epochs")
