"""Images of n bands: every value of a file comes back, and what does not fit its set is refused by name."""

import io

import numpy as np
import pyarrow.parquet as pq
import pytest
import tifffile
import torch
from helpers.band_files import npy, npz, packed_folder, png, scene, tiff, write
from helpers.levels import assert_near
from PIL import Image

from simmim.config.sections import ImagesSection
from simmim.data.bands import from_bytes
from simmim.data.classification import LabelledImages, scoring_images, scoring_view
from simmim.data.crops import Crop, cut
from simmim.data.packing import pack
from simmim.data.pixels import open_image, pixels_of
from simmim.data.pretraining import whole_images
from simmim.data.shards import Shards
from simmim.data.sources.image_folder import ImageFolder
from simmim.data.views import ViewImages
from simmim.evaluate.finetune.settings import FinetuneSettings

SMALL = 12, 20
FORMS = {  # name: (bands, bits, [bands, h, w] -> content)
    "samples.tif": (13, 16, tiff),
    "planes.tif": (13, 16, lambda array: tiff(array, "planes")),
    "pages.tif": (13, 16, lambda array: tiff(array, "pages")),
    "bigendian.tif": (4, 16, lambda array: tiff(array, byteorder=">")),
    "lzw.tif": (4, 16, lambda array: tiff(array, compression="lzw", predictor=2)),
    "tiles.tif": (4, 8, lambda array: tiff(array, tile=(16, 16), compression="deflate")),
    "grey.tif": (1, 16, tiff),
    "first.npy": (13, 16, npy),
    "last.npy": (13, 16, lambda array: npy(np.moveaxis(array, 0, 2))),
    "fortran.npy": (4, 8, lambda array: npy(np.asfortranarray(array))),
    "plane.npy": (1, 16, lambda array: npy(array[0])),
    "one.npz": (2, 16, lambda array: npz(image=array)),
    "grey.png": (1, 16, png),
    "colour.png": (3, 16, png),
    "alpha.png": (4, 8, png),
}


@pytest.mark.parametrize("name", FORMS)
def test_a_file_comes_back_value_by_value(tmp_path, name):
    bands, bits, encode = FORMS[name]
    array = scene(1, bands, bits, SMALL)
    array[:, 0, 0], array[:, 0, 1] = 0, 2**bits - 1  # the ends of the range
    folder = packed_folder(write(tmp_path / "in", {name: encode(array)}), tmp_path / "out", bands, bits)
    shards = Shards(folder)
    stored = from_bytes(shards.image_bytes(0))
    assert stored.dtype == array.dtype and (stored == array).all()
    assert shards.sizes.tolist() == [list(SMALL)] and (shards.bands.count, shards.bands.bits) == (bands, bits)
    assert pq.read_table(folder / "quarantine.parquet").num_rows == 0
    shards.verify()


def test_overviews_of_a_tiff_are_left_out(tmp_path):
    stream = io.BytesIO()
    with tifffile.TiffWriter(stream) as file:
        options = {"photometric": "minisblack", "planarconfig": "separate", "metadata": None}
        file.write(scene(0, 4, size=SMALL), **options)
        file.write(scene(0, 4, size=(6, 10)), subfiletype=1, **options)
    folder = packed_folder(write(tmp_path / "in", {"cog.tif": stream.getvalue()}), tmp_path / "out", 4)
    assert (from_bytes(Shards(folder).image_bytes(0)) == scene(0, 4, size=SMALL)).all()


@pytest.mark.parametrize("processes", [1, 2])
def test_mean_and_deviation_are_those_of_all_pixels(tmp_path, processes):
    scenes = [scene(number, 13, size=(10 + number, 14)) for number in range(9)]
    files = {f"{number}.npy": npy(each) for number, each in enumerate(scenes)}
    folder = packed_folder(write(tmp_path / "in", files), tmp_path / "out", 13, processes=processes)
    pixels = np.concatenate([each.reshape(13, -1) for each in scenes], axis=1) / 65_535
    bands = Shards(folder).bands
    assert bands.mean == pytest.approx(pixels.mean(1), rel=1e-12)
    assert bands.std == pytest.approx(pixels.std(1), rel=1e-9)


def test_packing_goes_on_with_the_same_bands_only(tmp_path, capsys):
    write(tmp_path / "in", {f"{n}.npy": npy(scene(n, 3, 8, SMALL)) for n in range(6)})
    packed_folder(tmp_path / "in", tmp_path / "out", 3, 8)
    first = (tmp_path / "out" / "index.json").read_bytes()
    packed_folder(tmp_path / "in", tmp_path / "out", 3, 8)
    assert "2 finished shards kept" in capsys.readouterr().out
    assert (tmp_path / "out" / "index.json").read_bytes() == first
    with pytest.raises(ValueError, match="6 of 6 samples are unusable"):
        pack(ImageFolder(str(tmp_path / "in")), tmp_path / "out", codec="original", shard_samples=4, short_side_px=None)
    assert "discarded (2), since this has changed: bands" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (npy(scene(0, 4, size=SMALL)), "an array of 4 x 12 x 20 values of type uint16"),
        (npy(scene(0, 13, 8, SMALL)), "an array of 13 x 12 x 20 values of type uint8"),
        (tiff(scene(0, 13, size=SMALL).astype(np.float32)), "an array of 13 x 12 x 20 values of type float32"),
        (png(scene(0, 3, 8, SMALL)), "an array of 3 x 12 x 20 values of type uint8"),
    ],
)
def test_the_first_image_with_other_bands_ends_the_packing(tmp_path, content, found):
    files = {f"{n}.npy": npy(scene(n, 13, size=SMALL)) for n in range(30)} | {"odd.npy": content}
    with pytest.raises(ValueError, match=f"odd.npy is {found}, where 13 bands of 16 bits should be"):
        packed_folder(write(tmp_path / "in", files), tmp_path / "out", 13)
    assert not (tmp_path / "out" / "index.json").exists()


def _pickle() -> bytes:
    return npy(np.array([{"a": 1}], dtype=object))


SOUND = tiff(scene(0, 4, size=(60, 80)), compression="deflate", rowsperstrip=8)
DAMAGED = {
    "cut.tif": (SOUND[: len(SOUND) // 2], "broken"),
    "flipped.tif": (SOUND[:2000] + bytes([SOUND[2000] ^ 64]) + SOUND[2001:], "broken"),
    "cut.npy": (npy(scene(0, 4))[:5000], "broken: ValueError"),
    "pickle.npy": (_pickle(), "broken: ValueError: Object arrays cannot be loaded when allow_pickle=False"),
    "two.npz": (npz(a=scene(0, 4), b=scene(1, 4)), "2 arrays, it must hold one: a, b"),
    "cut.npz": (npz(a=scene(0, 4))[:900], "broken: BadZipFile"),
    "cube.npy": (npy(np.zeros((4, 9, 4), np.uint16)), "its first and its last axis may be the 4 bands"),
    "photo.jpg": (b"\xff\xd8\xff\xe0", "neither TIFF, NumPy nor PNG"),
    "empty.tif": (b"", "zero bytes"),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_damaged_files_are_left_out_by_name(tmp_path, name):
    content, reason = DAMAGED[name]
    files = {"sound.tif": tiff(scene(0, 4)), name: content}
    packed_folder(write(tmp_path / "in", files), tmp_path / "out", 4, max_quarantined_share=0.5)
    (row,) = pq.read_table(tmp_path / "out" / "quarantine.parquet").to_pylist()
    assert (row["sample_id"], row["action"]) == (name, "quarantined") and reason in row["reason"]
    assert Shards(tmp_path / "out").ids == ["sound.tif"]


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        (
            "s2.tif",
            tiff(scene(0, 13, size=SMALL)),
            "13 x 12 x 20 .*uint16, .*no 8-bit picture; .*pack.bands=13 pack.bits=16",
        ),
        ("rgbn.tif", tiff(scene(0, 4, 8, SMALL)), "pack.bands=4 pack.bits=8"),
        ("s2.npy", npy(np.moveaxis(scene(0, 13), 0, 2)), "pack.bands=13 pack.bits=16"),
        ("f.npy", npy(np.zeros((13, 12, 20))), "pack.bands=13 pack.bits=16 .*; values must be uint8 or uint16"),
    ],
)
def test_a_set_of_pictures_says_how_bands_are_kept(tmp_path, name, content, words):
    source = ImageFolder(str(write(tmp_path / "in", {name: content})))
    with pytest.raises(ValueError, match=f"{name}.*{words}"):
        pack(source, tmp_path / "out", codec="original", shard_samples=4, short_side_px=None)


def test_16_bits_stay_apart_on_the_scale_of_8():
    levels = np.arange(65_536, dtype=np.uint16).reshape(1, 256, 256)
    image = open_image(npy(levels), 1)
    assert image.dtype == torch.float32 and image.min() == 0 and image.max() == 255
    assert len(image.unique()) == 65_536
    same = cut(image, Crop(0, 0, 256, 256, flip=False), (256, 256))
    assert torch.equal(same, image)
    assert torch.equal(cut(image, Crop(0, 0, 256, 256, flip=True), (256, 256)).flip(2), same)


@pytest.mark.parametrize("crop", [Crop(3, 5, 40, 61, False), Crop(0, 0, 50, 70, True), Crop(20, 20, 9, 12, False)])
def test_bands_are_cut_and_resized_as_pictures_are(crop):
    """Pillow's antialiased resizing is the reference; it rounds to 8 bits between its two passes."""
    picture = scene(2, 3, 8, (50, 70))
    box = crop.left, crop.top, crop.left + crop.width, crop.top + crop.height
    pillow = Image.fromarray(np.moveaxis(picture, 0, 2)).crop(box).resize((32, 24), Image.Resampling.BILINEAR)
    pillow = np.asarray(pillow)[:, ::-1] if crop.flip else np.asarray(pillow)
    assert_near(cut(open_image(npy(picture), 3), crop, (24, 32)), pillow)
    wide = cut(open_image(npy(picture.astype(np.uint16) * 257), 3), crop, (24, 32))
    assert abs(wide.permute(1, 2, 0).numpy() - pillow).max() < 1.01


@pytest.fixture(scope="module")
def classes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("classes")
    files = {f"{name}/{n}.tif": tiff(scene(n + 5 * k, 13)) for k, name in enumerate(("hill", "sea")) for n in range(3)}
    return Shards(packed_folder(write(folder / "in", files), folder / "out", 13))


def test_views_for_training_and_scoring_are_not_square(classes):
    settings = FinetuneSettings(image_px=(96, 160), auto_augment="")
    batch = LabelledImages(classes, settings, 0, classes.bands.mean).__getitems__([(0, 1), (0, 5)])
    assert batch["images"].shape == (2, 13, 96, 160) and batch["images"].dtype == torch.float32
    assert batch["labels"].tolist() == [0, 1]
    whole = whole_images(classes, np.array([4]), (96, 160), 13)
    scored = scoring_images(classes, [4], (96, 160), 1.0, 13)
    assert scored.shape == (1, 13, 96, 160) and scored.min() >= 0 and scored.max() <= 255
    assert (scored - whole).abs().mean() < 2  # the same picture; 100 x 170 px lose 3 columns and are not squeezed


@pytest.mark.parametrize(("size", "resized"), [((200, 100), (320, 160)), ((100, 400), (96, 384))])
def test_pictures_of_any_shape_are_scored_without_being_squeezed(size, resized):
    picture = Image.fromarray(np.moveaxis(scene(3, 3, 8, size), 0, 2))
    whole = np.asarray(picture.resize(resized[::-1], Image.Resampling.BICUBIC))
    top, left = (resized[0] - 96) // 2, (resized[1] - 160) // 2
    assert_near(scoring_view(pixels_of(picture), (96, 160), 1.0), whole[top : top + 96, left : left + 160])


def test_what_changes_colours_takes_pictures_only(classes):
    with pytest.raises(ValueError, match=r"auto_augment=rand.*13 bands of 16 bits: set settings.auto_augment="):
        LabelledImages(classes, FinetuneSettings(), 0, classes.bands.mean)
    with pytest.raises(ValueError, match=r"views change 8-bit colours.*method=simmim"):
        ViewImages(classes, {}, ImagesSection(), 0, 13)
    with pytest.raises(ValueError, match=r"3 channels are read, and the images have 13 bands: set images.channels"):
        whole_images(classes, np.array([0]), (8, 8), 3)
