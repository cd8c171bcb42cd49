"""Runs with the step schedule share the stage before their first milestone (section 4.3, Table 9). Torch-free."""

from __future__ import annotations

from simmim.config.differences import differing_fields
from simmim.config.resolve import Config


def has_first_stage(config: Config) -> bool:
    """Whether a pre-training is done in two jobs, up to its first milestone and on from there (step schedule)."""
    train = config["train"]
    return train["schedule"] == "step" and train["epochs"] > 0


def check_first_stage(config: Config, shorter: Config) -> None:
    """Refuse a run that cannot begin with the first stage of another, `shorter` one.

    Raises:
        ValueError: naming the settings in which they differ, or the milestone that comes too early.
    """
    own = {"scale", "run", "config_hash", "numerics", "start", "seeds"}
    same = [{k: v for k, v in each.items() if k not in own} for each in (config, shorter)]
    lengths = [each["train"] for each in same]
    for each, train in zip(same, lengths):
        each["train"] = {k: v for k, v in train.items() if k not in ("epochs", "milestones")}
    place = f"start.run={config['start']['run']}"
    if changed := differing_fields(same[1], same[0]):
        raise ValueError(f"{place}: only runs that differ in length share a first stage; {'; '.join(changed)}")
    if not (has_first_stage(config) and has_first_stage(shorter)):
        raise ValueError(f"{place}: only runs with train.schedule=step have a first stage of constant rate")
    if shorter["seeds"] < config["seeds"]:
        raise ValueError(f"{place}: it has {shorter['seeds']} seeds, this row {config['seeds']}")
    mine, theirs = (min(train["milestones"], default=1) * train["epochs"] for train in lengths)
    if mine < theirs:
        raise ValueError(f"{place}: its first milestone, {theirs:g} epochs, comes after this run's, {mine:g} epochs")
