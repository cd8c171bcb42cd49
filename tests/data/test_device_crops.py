"""Crops that are cut on the device are the host's but for a grey level of some pixels."""

import json

import numpy as np
import pytest
import torch
from helpers.pretraining import ALONE, built, packed, pretrain_config
from torch.utils.data import DataLoader

from simmim.data.crops import cut, draw_crops
from simmim.data.device_crops import UncutImages, uncut
from simmim.data.shards import Shards
from simmim.pretraining.run import pretrain
from simmim.rng import KeyedGenerator
from simmim.storage import records
from simmim.train.reading import to_device

CPU = torch.device("cpu")


def pictures(channels=3):
    """Smooth pictures of several sizes, as photographs are."""
    random = np.random.default_rng(0)
    for height, width in random.integers(40, 200, (20, 2)):
        rough = torch.from_numpy(random.integers(0, 256, (1, channels, 7, 9))).float()
        (smooth,) = torch.nn.functional.interpolate(rough, (int(height), int(width)), mode="bilinear")
        yield smooth.byte().permute(1, 2, 0).contiguous().permute(2, 0, 1)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("image_px", [(96, 96), (32, 48), (224, 160)])
@pytest.mark.parametrize("scale", [(0.67, 1.0), (0.05, 0.3)])
def test_they_are_the_hosts(channels, image_px, scale):
    check_crops(channels, image_px, scale)


def check_crops(channels, image_px, scale, device=CPU):
    """Crops made on a device are the host's but for a grey level of some values."""
    images = [*pictures(channels)]
    sizes = np.array([image.shape[1:] for image in images])
    draws = KeyedGenerator(0, 0, np.arange(len(images)), "crop")
    found = [*zip(images, draw_crops(sizes, scale, (3 / 4, 4 / 3), 0.5, draws))]
    assert {crop.flip for _, crop in found} == {False, True}
    wanted = torch.stack([cut(image, crop, image_px) for image, crop in found])
    made = uncut(found, image_px).to_device(device).cpu()
    assert made.shape == wanted.shape and made.dtype == torch.uint8
    differing = (made.int() - wanted.int()).abs()
    assert differing.max() <= 2 and (differing > 0).float().mean() < 0.03 and (differing > 1).float().mean() < 1e-4


def test_a_loader_hands_them_on_as_they_are():
    images = [*pictures()][:4]
    crops = draw_crops(np.array([each.shape[1:] for each in images]), (0.67, 1.0), (1, 1), 0.5, keyed())
    whole = uncut([*zip(images, crops)], (32, 32))
    (batch,) = DataLoader([0], batch_sampler=[[0]], collate_fn=lambda _: {"images": whole})
    assert isinstance(batch["images"], UncutImages)
    assert torch.equal(to_device(batch, CPU)["images"], whole.to_device(CPU))


def keyed():
    return KeyedGenerator(0, 0, np.arange(4), "crop")


def test_a_training_takes_them(tmp_path, data):
    losses = []
    for place in ("host", "device"):
        images = {"mean": [0.5] * 3, "std": [0.25] * 3, "crop_on": place}
        config = pretrain_config(images=images)
        pretrain(config, 0, data, tmp_path / place, ALONE)
        frame = records.read([tmp_path / place / "train.parquet"])
        losses.append(frame[frame["metric"] == "loss"]["value"].to_numpy())
        stated = records.metadata(tmp_path / place / "train.parquet")
        assert stated["environment"]["crop_on"] == place and "crop_on" not in json.dumps(stated["config"])
    assert abs(losses[0] - losses[1]).max() < 0.02 * losses[0].mean()
    assert not np.array_equal(*losses)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return packed(tmp_path_factory.mktemp("data"))


def test_what_is_cut_on_the_host_says_so(data):
    images = {"mean": [0.5] * 3, "std": [0.25] * 3, "crop_on": "device"}
    method = built(pretrain_config("dino", {"local_crops": 0}, images=images))
    with pytest.raises(ValueError, match=r"images.crop_on=device is for SimMIM, views are cut on the host"):
        method.dataset(Shards(data["train"]), 0)
