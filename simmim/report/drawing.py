"""A figure as a file: a PNG that carries its own title, caption and section, for the page to print."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from PIL import Image

from simmim.storage.files import whole_file
from simmim.storage.reading import reading

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_WORDS = ("Title", "Section", "Comment", "Description")  # keys that PNG readers know; Comment: the one sentence
_END = b"IEND\xaeB`\x82"  # of every PNG


class Drawing(NamedTuple):
    """A figure as `save` stored it: its words, its width in pixels and its PNG.

    Args:
        description: one sentence that says what is to be seen.
    """

    name: str
    title: str
    section: str
    description: str
    caption: str
    width_px: int
    png: bytes


def save(figure: Figure, path: Path, title: str, section: str, description: str, caption: str) -> None:
    """Write a PNG that carries its own words, for the page to print."""
    words = (title, section, description, caption)
    metadata = dict(zip(_WORDS, words)) | {"Software": "simmim"}
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
    if missing := {*_WORDS} - words.keys():
        raise ValueError(f"{path} has no {' and '.join(sorted(missing))} inside: draw it again with `simmim figure`")
    return Drawing(path.stem, *(words[name] for name in _WORDS), width, png)
