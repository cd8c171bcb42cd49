"""A copy of `config/` that a test may spoil."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from simmim.config.reading import read_yaml

CONFIG = Path(__file__).parents[2] / "config"


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """The copy."""
    yield Path(shutil.copytree(CONFIG, tmp_path / "config"))
    read_yaml.cache_clear()


def replace(path: Path, old: str, new: str) -> None:
    """Put other text in the place of some that stands in a file."""
    text = path.read_text()
    assert old in text, f"{old!r} is not in {path.name}"
    path.write_text(text.replace(old, new))


def let_in(folder: Path, runs: str) -> None:
    """Have scale small run these rows of pretrain.tsv and all their evaluations."""
    path = folder / "scales" / "small.yaml"
    text = re.sub(r"^runs:.*\n(?: .*\n)*", f"runs: [{runs}]\n", path.read_text(), flags=re.MULTILINE)
    path.write_text(re.sub(r"^without: .*$", "without: []", text, flags=re.MULTILINE))


def append(path: Path, *cells: str) -> None:
    """Add a row to a sheet, or a line to a file."""
    path.write_text(path.read_text() + "\t".join(cells) + "\n")
