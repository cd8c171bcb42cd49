"""Pictures of what a network learns: an image, what it sees, what it predicts; at a few moments, and in the end.

Shapes: uint8 arrays [H, W, 3].
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from PIL.PngImagePlugin import PngInfo
from torch import Tensor

from simmim import plugin
from simmim.config.models import PretrainConfig
from simmim.data.pretraining import hidden_tokens, whole_images
from simmim.data.shards import Shards
from simmim.methods._method import Method
from simmim.pretraining.masking import geometry_of, spread_samples
from simmim.pretraining.method import load_method
from simmim.pretraining.pictures import png, shown
from simmim.pretraining.reconstruction import OWN_MASK
from simmim.storage.files import whole_file
from simmim.storage.identity import Identity, config_hash
from simmim.storage.parquet import read_sealed
from simmim.storage.reading import reading

_COLUMNS = "image", "what it sees", "prediction", "pasted"
_GREY = 127
_SIDE_PX, _GAP_PX, _TEXT_PX = 160, 6, 24
_MOMENTS = 1 / 16, 1 / 8, 1 / 4, 1 / 2, 1  # shares of a training
_SHOWN = 4
_AT_ONCE = 64  # images that a network predicts
_BELONGS_TO = "simmim"  # the text of a column's PNG that tells trainings apart


def write_gallery(reconstructions: Path, out: Path) -> bool:
    """Draw the images of `reconstruction.parquet` under the run's own masks; False where it holds none.

    Args:
        out: PNG file.
    """
    rows = [row for row in read_sealed(reconstructions).to_pylist() if row["mask"] == OWN_MASK]
    if rows:
        write_grid(out, _COLUMNS, [panels(row) for row in rows])
    return bool(rows)


def panels(row: Mapping[str, Any]) -> list[np.ndarray]:
    """The four pictures of one image, given its PNGs `image`, `hidden` and `prediction`."""
    image, prediction = (_pixels(row[name], "RGB") for name in ("image", "prediction"))
    hidden = _pixels(row["hidden"], "L")[..., None] > _GREY
    return [image, _covered(image, hidden), prediction, np.where(hidden, prediction, image)]


def write_reconstructions(config: PretrainConfig, run: Path, shards: Shards, out: Path, tokenizer: Path | None) -> None:
    """Draw what a finished run makes of all images of a packed set, under its own mask.

    Args:
        run: folder of the files of one seed.
        tokenizer: file of the tokenizer that the target names, if it names one.

    Raises:
        ValueError: for a run that has no pictures.
    """
    if config.mask is None:
        raise ValueError(f"run '{config.run}' has no pictures: method={config.method.name} hides nothing")
    method, _ = load_method(config, run, tokenizer)
    geometry, samples = geometry_of(config), np.arange(len(shards))
    images = whole_images(shards, samples, geometry.image, config.channels)  # uint8 [n, c, H, W]
    hidden = hidden_tokens(plugin.build("masks", config.mask), geometry, 0, 0, samples)
    parts = [_predicted(method, *part) for part in zip(images.split(_AT_ONCE), hidden.split(_AT_ONCE))]
    pictures = [picture for part in parts if part is not None for picture in part]
    if not pictures:
        raise ValueError(f"target={config.target.name} has no pictures")
    areas = geometry.tokens_to_pixels(hidden).byte()[:, None] * 255  # [n, 1, H, W]
    draw = shown(shards, config.data["val"].pack).png
    rows = [
        {"image": draw(image), "hidden": png(area), "prediction": draw(picture)}
        for image, area, picture in zip(images, areas, pictures)
    ]
    write_grid(out, _COLUMNS, [panels(row) for row in rows])


class Moments:
    """Draws the same held-out images under the same masks at a few moments of a training: a watcher of the loop.

    Args:
        val: images that are not trained on.
        folder: of the pre-training; `gallery.png` in it has a column a moment, `gallery/` what that is made of.
        identity: of the training; what another one has drawn in that folder is left out.
    """

    def __init__(self, config: PretrainConfig, val: Shards, folder: Path, identity: Identity) -> None:
        geometry, samples = geometry_of(config), spread_samples(val, _SHOWN)
        self._images = whole_images(val, samples, geometry.image, config.channels)  # uint8 [n, c, H, W]
        self._hidden = hidden_tokens(plugin.build("masks", config.mask), geometry, 0, 0, samples)
        self._areas = geometry.tokens_to_pixels(self._hidden).byte() * 255
        self._draw, self._folder, self._passed = shown(val, config.data["val"].pack).png, folder, 0.0
        height, width = self._images.shape[2:]
        self._belongs_to = config_hash(identity.as_json())
        self._columns = _columns_in(folder / "gallery", self._belongs_to, (len(samples) * height, width, 3))

    def __call__(self, step: int, steps: int, row: Mapping[str, float], task: Method) -> None:
        """Draw what the network makes of the images, if it is time to."""
        passed = max((share for share in _MOMENTS if share * steps <= step), default=0.0)
        if passed <= self._passed:
            return
        self._passed = passed
        if not any(passed * steps <= drawn <= step for drawn in self._columns):  # or before an interruption
            predictions = _predicted(task, self._images, self._hidden)
            if predictions is None:
                return
            stack = np.concatenate([_pixels(self._draw(each), "RGB") for each in predictions])
            note = PngInfo()
            note.add_text(_BELONGS_TO, self._belongs_to)
            with whole_file(self._folder / "gallery" / f"{step:08d}.png") as temporary:
                Image.fromarray(stack).save(temporary, "png", pnginfo=note)
            self._columns[step] = stack
        self._write()

    def _write(self) -> None:
        columns = dict(sorted(self._columns.items()))
        stacks = [np.split(stack, len(self._images)) for stack in columns.values()]
        rows = []
        for number, (image, area) in enumerate(zip(self._images, self._areas)):
            whole = _pixels(self._draw(image), "RGB")
            rows.append([whole, _covered(whole, area.numpy()[..., None] > _GREY), *(each[number] for each in stacks)])
        write_grid(self._folder / "gallery.png", [*_COLUMNS[:2], *(f"{step} updates" for step in columns)], rows)


def _columns_in(folder: Path, belongs_to: str, shape: tuple[int, int, int]) -> dict[int, np.ndarray]:
    """Step to what this training drew then; what a power cut has torn is left out, and drawn again at its moment."""
    found = {}
    for path in folder.glob("*.png"):
        with suppress(ValueError), reading(path, "a picture", "it is drawn again"):
            step, drawn = int(path.stem), path.read_bytes()
            stack = _pixels(drawn, "RGB")
            if stack.shape == shape and Image.open(io.BytesIO(drawn)).info.get(_BELONGS_TO) == belongs_to:
                found[step] = stack
    return found


@torch.inference_mode()
def _predicted(task: Method, images: Tensor, hidden: Tensor) -> Tensor | None:
    """Predictions of a network in training, which stays as it is."""
    device = next(task.parameters()).device
    try:
        pictures = task.eval().reconstruct(images.to(device), hidden.to(device))
    finally:
        task.train()
    return None if pictures is None else pictures.cpu()


def _covered(image: np.ndarray, hidden: np.ndarray) -> np.ndarray:
    return np.where(hidden, np.uint8(_GREY), image)


def write_grid(out: Path, titles: Sequence[str], rows: Sequence[Sequence[np.ndarray]]) -> None:
    """Write pictures of one size as a PNG, a title over each column."""
    height, width = (side * _enlarged(rows[0][0]) for side in rows[0][0].shape[:2])
    step_x, step_y = width + _GAP_PX, height + _GAP_PX
    size = step_x * len(titles) + _GAP_PX, _TEXT_PX + step_y * len(rows) + _GAP_PX
    sheet = Image.new("RGB", size, "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(14)
    for column, title in enumerate(titles):
        draw.text((_GAP_PX + column * step_x, _GAP_PX), title, "black", font)
        for row, pictures in enumerate(rows):
            picture = Image.fromarray(pictures[column]).resize((width, height), Image.Resampling.NEAREST)
            sheet.paste(picture, (_GAP_PX + column * step_x, _TEXT_PX + _GAP_PX + row * step_y))
    with whole_file(out) as temporary:
        sheet.save(temporary, "png")


def _enlarged(picture: np.ndarray) -> int:
    """How many pixels a small picture's pixel becomes."""
    return max(1, round(_SIDE_PX / max(picture.shape[:2])))


def _pixels(png: bytes, mode: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)).convert(mode))
