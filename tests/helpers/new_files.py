"""One new file of every kind, with the rows that use it: what a user would write, as docs/extending.md shows it."""

from __future__ import annotations

import re
from pathlib import Path

NAMES = ("half", "two_layers", "contrast", "narrow_swin", "grey_levels", "mean_colour", "centroid", "drawn_squares")

_PAGE = (Path(__file__).parents[2] / "docs" / "extending.md").read_text(encoding="utf-8")


def _shown(folder: str) -> dict[str, str]:
    """The files of a folder that the page shows, by their path below it."""
    return dict(re.findall(rf"^`{folder}/(\S+)`\n\n```\w+\n(.*?)^```$", _PAGE, re.MULTILINE | re.DOTALL))


FILES = _shown("simmim")
ROWS = _shown("config")  # of a sheet to add, of a recipe all
RUNS = ("new_parts", "new_codes", "new_method")


def add_new_files(project: Path) -> None:
    """Write them into a copy of the project, with their rows and what its smoke scale says."""
    for name, text in FILES.items():
        path = project / "simmim" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    for name, text in ROWS.items():
        path = project / "config" / name
        path.write_text((path.read_text() if path.is_file() else "") + text)
    scale = project / "config" / "scales" / "smoke.yaml"
    text = scale.read_text().replace("encoders:\n", "encoders:\n  narrow_swin: {window: 4}\n")
    scale.write_text(text.replace("pretrain_22k_ext: earth_tiles", "pretrain_22k_ext: drawn"))
