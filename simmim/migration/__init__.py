"""Brings stored results up to date; no value changes.

first_version       records of version 0.1: other column names, other configs
machine_settings    configs that still hold what changes no result, and the hashes that these had
drawn_regions       reconstructions that do not say what their drawn masks hide
seals               tables without a digest of their content
"""

from __future__ import annotations

from pathlib import Path

from simmim.migration import drawn_regions, first_version, machine_settings, seals


def migrate(results: Path) -> list[str]:
    """Bring what is stored below the folder of a scale up to date.

    Returns:
        One line for every file that was rewritten.

    Raises:
        ValueError: for results that stand on others which are not there.
    """
    return [line for kind in (first_version, machine_settings, drawn_regions, seals) for line in kind.rewrite(results)]
