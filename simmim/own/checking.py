"""Whether what was asked for can be trained, before a run folder is begun with it or anything is packed."""

from __future__ import annotations

from simmim.config.models import PretrainConfig
from simmim.own.project import SCALE, Project
from simmim.planning.check import check_pretraining
from simmim.storage.reading import existing


def checked(project: Project, run: str) -> PretrainConfig:
    """The config of a project's pre-training.

    Raises:
        ValueError: for settings that do not go together, a network or masks that cannot be, a file that is not there.
    """
    config = project.jobs.sheets.pretraining(SCALE, run)
    if config.init.encoder:
        existing(project.jobs.sheets.located(config.init.encoder), "init.encoder")
    check_pretraining(config)
    return config
