"""From the source section of a config to the adapter that reads it."""

from __future__ import annotations

from collections.abc import Callable

from simmim import plugin
from simmim.config.models import DataConfig
from simmim.data.samples import Source


def adapter(config: DataConfig, located: Callable[[str], str]) -> Source:
    """The source of a data set, as datasets.tsv names it.

    Args:
        located: a path of a sheet -> where it lies on this machine.
    """
    paths = {key: located(value) for key, value in config.source.settings.items() if isinstance(value, str)}
    return plugin.build("data.sources", config.source.changed(**paths))
