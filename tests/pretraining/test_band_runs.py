"""Images of 1, 4 and 13 bands of 16 bits, 96 x 160 px: from files to an encoder, its pictures and its uses."""

import io
import json

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import torch
from helpers.band_files import npy, packed_folder, png, scene, tiff, write
from helpers.pretraining import ALONE, built, pretrain_config
from PIL import Image

from simmim.config.sections import ImagesSection
from simmim.data.pretraining import whole_images
from simmim.data.shards import Shards
from simmim.pretraining.pictures import shown
from simmim.pretraining.reconstruction import reconstruct
from simmim.pretraining.run import pretrain
from simmim.storage import records
from simmim.storage.encoder_file import load_encoder

SIZE = 96, 160
ENCODERS = {
    "swin": {"patch_px": 4, "embed_dim": 8, "depths": [1, 1, 1], "num_heads": [1, 2, 2], "window": 6},
    "swin_v2": {"patch_px": 4, "embed_dim": 8, "depths": [1, 1, 1], "num_heads": [1, 2, 2], "window": 6},
    "vit": {"patch_px": 16, "embed_dim": 16, "depth": 2, "num_heads": 2},
    "resnet": {"stem_width": 4, "depths": [1, 1, 1], "width_factor": 1},
}
# By number of bands: how its files are written, and the encoders that are trained on them.
FILES = {1: (png, "png", ["swin"]), 4: (tiff, "tif", ["vit"]), 13: (npy, "npy", ["swin_v2", "resnet"])}
CASES = [(bands, encoder) for bands, (*_, encoders) in FILES.items() for encoder in encoders]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """By number of bands, packed folders by split; the classes are two."""
    found = {}
    for bands, (encode, suffix, _) in FILES.items():
        folder = tmp_path_factory.mktemp(f"bands{bands}")
        for split, first in (("train", 0), ("val", 8)):
            files = {f"{'ab'[n % 2]}/{n}.{suffix}": encode(scene(n, bands)) for n in range(first, first + 8)}
            packed_folder(write(folder / f"in_{split}", files), folder / split, bands)
        found[bands] = {split: folder / split for split in ("train", "val")}
    return found


def config(bands, encoder, **sections):
    pack = {"bands": bands, "bits": 16, "shown_bands": "4,3,2" if bands == 13 else ""}
    sources = {"dataset": "scenes", "source": {"name": "image_folder"}, "pack": pack, "numerics": 1}
    made = {
        "data": {split: sources | {"split": split} for split in ("train", "val")},
        "encoder": {"name": encoder} | ENCODERS[encoder],
        "geometry": {"image_px": SIZE, "masked_patch_px": 32},
        "images": {"channels": bands, "mean": "measured"},
        "train": {"epochs": 2, "batch": 8},  # two updates
    }
    return pretrain_config(**made | sections)


@pytest.mark.parametrize(("bands", "encoder"), CASES)
def test_files_become_an_encoder_and_pictures(tmp_path, data, bands, encoder):
    run = config(bands, encoder)
    pretrain(run, 0, data[bands], tmp_path, ALONE)
    loaded, header = load_encoder(tmp_path / "encoder.safetensors")
    measured = Shards(data[bands]["train"]).bands
    assert (header["mean"], header["std"]) == (list(measured.mean), list(measured.std))
    assert (header["in_channels"], header["image_px"], header["step"]) == (bands, list(SIZE), 2)
    assert header["bits"] == 16
    assert loaded(torch.zeros(1, bands, *SIZE)).shape[2:] == (SIZE[0] // loaded.stride, SIZE[1] // loaded.stride)
    values = records.read([tmp_path / "train.parquet"]).set_index("metric")["value"]
    assert 0 < values["validation_loss"] < 3 and 0 < values["validation_loss_mean_colour"] < 3

    reconstruct(run, tmp_path, data[bands]["val"], {})
    rows = pd.read_parquet(tmp_path / "reconstruction.parquet")
    look = json.loads(pq.read_schema(tmp_path / "reconstruction.parquet").metadata[b"shown"])
    assert look["bands"] == {1: [1], 4: [1, 2, 3], 13: [4, 3, 2]}[bands]
    for name in ("image", "prediction"):
        picture = Image.open(io.BytesIO(rows[name][0]))
        assert picture.size == SIZE[::-1] and picture.mode == ("L" if bands == 1 else "RGB")
    shares = [np.histogram(np.asarray(Image.open(io.BytesIO(each))), 4)[0] for each in rows["image"]]
    assert np.mean(shares, 0).min() > 0.05 * np.mean(shares, 0).sum(), "the stretch uses all of the range"


def test_the_bands_that_are_shown_are_those_that_are_asked_for(data):
    run, shards = config(13, "swin_v2"), Shards(data[13]["val"])
    image = whole_images(shards, np.array([3]), SIZE, 13)[0]
    picture = shown(shards, run.data["val"].pack)(image)
    for place, band in enumerate((4, 3, 2)):
        mean, std = 255 * shards.bands.mean[band - 1], 255 * shards.bands.std[band - 1]
        expected = 255 * ((image[band - 1] - mean) / (4 * std) + 0.5)
        assert (picture[place] - expected.clamp(0, 255)).abs().max() < 0.51
    plain = config(13, "swin_v2").model_copy(update={"data": {}})
    assert run.hash == run.model_copy().hash and "shown_bands" not in run.model_dump_json() + plain.model_dump_json()


def test_hidden_pixels_of_13_bands_are_not_seen(data):
    for encoder in ENCODERS:
        method = built(config(13, encoder, images={"mean": [0.5] * 13, "std": [0.25] * 13})).eval()
        images = whole_images(Shards(data[13]["val"]), np.arange(2), SIZE, 13)
        tokens = SIZE[0] // method.encoder.token, SIZE[1] // method.encoder.token
        hidden = torch.zeros(2, *tokens, dtype=torch.bool)
        hidden[:, : tokens[0] // 3] = True
        noisy = torch.where(method.geometry.tokens_to_pixels(hidden)[:, None], 255 * torch.rand_like(images), images)
        first, second = (method.encoder(method.normalise(each), hidden) for each in (images, noisy))
        assert torch.equal(first, second), encoder
        assert not torch.equal(method.encoder(method.normalise(images)), method.encoder(method.normalise(noisy)))


def test_a_band_of_one_value_is_refused(tmp_path):
    array = scene(0, 4)
    array[2] = 7
    write(
        tmp_path / "in", {f"{n}.npy": npy(array + np.uint16(n) * (np.arange(4) != 2)[:, None, None]) for n in range(8)}
    )
    folder = packed_folder(tmp_path / "in", tmp_path / "out", 4)
    with pytest.raises(ValueError, match=r"band 3 of .*out has one value everywhere .* leave it out"):
        pretrain(config(4, "vit"), 0, {"train": folder, "val": folder}, tmp_path, ALONE)


def test_statistics_are_measured_or_given_for_every_channel():
    assert ImagesSection(channels=13, mean="measured").std == "measured"
    assert ImagesSection(mean=[0.5] * 4, std=[0.1] * 4).channel_count == 4
    for wrong, words in (
        ({"mean": "measured"}, "needs images.channels"),
        ({"channels": 13}, "for every channel \\(13\\)"),
        ({"mean": [0.5] * 4}, "4 and images.std 3 values"),
        ({"channels": 2, "mean": "measured", "std": [0.1, 0.2]}, "either both .* or none"),
    ):
        with pytest.raises(ValueError, match=words):
            ImagesSection(**wrong)
