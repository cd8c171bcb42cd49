"""Where two configs differ (torch-free)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from simmim.config.machine_settings import without_machine_settings


def refuse_changed(made: Path, before: Mapping[str, Any], now: Mapping[str, Any], remove: Path) -> None:
    """Raise a ValueError that lists every setting in which two configs differ, if any does.

    Args:
        made: what was made with the config `before`.
        remove: what to remove in order to start anew.
    """
    if before != without_machine_settings(before):
        raise ValueError(
            f"{made} was written before settings of the machine left the config; bring its scale up to date with "
            "`simmim migrate`"
        )
    if changed := differing_fields(before, now):
        listing = "\n".join(f"  {line}" for line in changed)
        raise ValueError(f"{made} was made with another config; remove {remove} to start anew, or undo:\n{listing}")


def differing_fields(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """One line for every setting that is not the same in two configs."""
    old, new = _flat(before), _flat(now)
    keys = sorted(key for key in old.keys() | new.keys() if old.get(key) != new.get(key))
    return [f"{key}: {old.get(key, 'absent')} before, {new.get(key, 'absent')} now" for key in keys]


def _flat(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat = {}
    for key, value in config.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return flat
