"""A figure as a file: a PNG that carries its own title, caption and section, for the page to print."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from PIL import Image

from simmim.storage.files import whole_file
from simmim.storage.reading import reading

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_END = b"IEND\xaeB`\x82"  # of every PNG


class Drawing(NamedTuple):
    """A figure as `save` stored it: its words, its width in pixels and its PNG."""

    name: str
    title: str
    section: str
    caption: str
    width_px: int
    png: bytes


def save(figure: Figure, path: Path, title: str, caption: str, section: str) -> None:
    """Write a PNG that carries its own title, caption and section, for the page to print."""
    metadata = {"Title": title, "Description": caption, "Section": section, "Software": "simmim"}
    with whole_file(path) as temporary:
        figure.savefig(temporary, format="png", bbox_inches="tight", pad_inches=0.15, metadata=metadata)


def read_drawing(path: Path) -> Drawing:
    """A figure that `save` stored.

    Raises:
        ValueError: for a picture without its words.
    """
    with reading(path, "a whole PNG", "draw it again with `simmim figure`"):
        Image.open(path).verify()  # the checksums of all chunks
        with Image.open(path) as image:
            words, width, png = image.text, image.width, path.read_bytes()
        if not png.endswith(_END):
            raise ValueError("something stands behind its end")
    if missing := {"Title", "Section", "Description"} - words.keys():
        raise ValueError(f"{path} has no {' and '.join(sorted(missing))} inside: draw it again with `simmim figure`")
    return Drawing(path.stem, words["Title"], words["Section"], words["Description"], width, png)
