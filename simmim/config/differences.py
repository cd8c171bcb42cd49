"""Where saved work and what is wanted now differ (torch-free)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from simmim.config.machine_settings import without_machine_settings
from simmim.storage.identity import Identity


def refuse_changed(made: Path, before: Mapping[str, Any], now: Identity, remove: Path) -> None:
    """Raise a ValueError that lists everything in which two identities differ, if anything does.

    Args:
        made: what was made with the identity `before`, as it is stored; what only an earlier or only a later version
            stores is not compared.
        remove: what to remove in order to start anew.
    """
    if before["config"] != without_machine_settings(before["config"]):
        raise ValueError(
            f"{made} was written before settings of the machine left the config; bring its scale up to date with "
            "`simmim migrate`"
        )
    wanted = now.as_json()
    stored = {key: each for key, each in before["config"].items() if key in wanted["config"]}
    changed = differing_fields(stored, wanted["config"])
    shared = before.get("made_from", {}).keys() & wanted["made_from"].keys()  # a first stage may stand on another one
    stands = ({"made_from": {key: each["made_from"][key] for key in shared}} for each in (before, wanted))
    changed += differing_fields(*stands)
    kept = [key for key in ("seed", "data_digests") if key in before]
    changed += differing_fields(*({key: each[key] for key in kept} for each in (before, wanted)))
    if changed:
        listing = "\n".join(f"  {line}" for line in changed)
        raise ValueError(f"{made} was made otherwise; remove {remove} to start anew, or undo:\n{listing}")


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
