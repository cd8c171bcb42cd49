"""Where two configs differ (torch-free)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


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
