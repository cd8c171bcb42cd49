"""Views of images: functions of (seed, epoch, sample), and each of the changes does what its name says."""

import io

import numpy as np
import pytest
import torch
import torchvision.transforms.v2.functional as F
from helpers.levels import assert_near
from PIL import Image, ImageOps
from torch.utils.data import DataLoader

from simmim.config.sections import ImagesSection
from simmim.data import views as views_module
from simmim.data.crops import draw_crops
from simmim.data.packing import pack
from simmim.data.samples import RawSample
from simmim.data.shards import Shards
from simmim.data.views import View, ViewImages, recoloured
from simmim.rng import KeyedGenerator

VIEWS = {
    "global": [View((32, 48), blur=1.0), View((32, 48), blur=0.1, solarise=0.2)],
    "local": [View((16, 16), blur=0.5, crop_scale=(0.05, 0.25))] * 3,
}
KEYS = [(0, 3), (0, 11), (1, 3), (2, 0), (0, 5), (1, 1)]
# jitter, grey, blur, sigma, solarise, four for the order, four factors; 1 switches a change off, 0.5 changes nothing
OFF = np.array([1, 1, 1, 0.5, 1, 0.1, 0.2, 0.3, 0.4, 0.5, 0.5, 0.5, 0.5])
JITTER, GREY, BLUR, SIGMA, SOLARISE, BRIGHTNESS, CONTRAST, SATURATION, HUE = 0, 1, 2, 3, 4, 9, 10, 11, 12


class Noise:
    def classes(self):
        return []

    def fingerprint(self):
        return ""

    def samples(self):
        random = np.random.default_rng(0)
        for i in range(12):
            stream = io.BytesIO()
            Image.fromarray(random.integers(64, 192, (40 + i, 50 + 2 * i, 3), dtype=np.uint8)).save(stream, "png")
            yield RawSample(f"{i}.png", stream.getvalue(), None)


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    folder = tmp_path_factory.mktemp("noise")
    pack(Noise(), folder, codec="original", shard_samples=5, short_side_px=None)
    return Shards(folder)


def dataset(shards, seed=7, channels=3, **images):
    return ViewImages(shards, VIEWS, ImagesSection(**images), seed, channels)


@pytest.mark.parametrize("channels", [1, 3])
def test_shapes(shards, channels):
    batch = dataset(shards, channels=channels).__getitems__(KEYS)
    assert batch["global"].shape == (6, 2, channels, 32, 48) and batch["global"].dtype == torch.uint8
    assert batch["local"].shape == (6, 3, channels, 16, 16)


def test_a_sample_does_not_depend_on_what_stands_beside_it(shards):
    whole = dataset(shards).__getitems__(KEYS)
    for place, key in enumerate(KEYS):
        alone = dataset(shards).__getitems__([key])
        assert all(torch.equal(alone[name][0], whole[name][place]) for name in VIEWS)


def test_views_epochs_and_seeds_differ(shards):
    batch = dataset(shards).__getitems__([(0, 3), (1, 3)])
    local = batch["local"].flatten(0, 1)
    assert not any(torch.equal(local[a], local[b]) for a in range(6) for b in range(a))
    assert not torch.equal(batch["global"][0, 0], batch["global"][0, 1])
    assert not torch.equal(batch["local"], dataset(shards, seed=8).__getitems__([(0, 3), (1, 3)])["local"])


def test_workers_change_nothing(shards):
    plain, worked = (
        list(DataLoader(dataset(shards), batch_sampler=[KEYS[:3], KEYS[3:]], collate_fn=dict, num_workers=workers))
        for workers in (0, 2)
    )
    for one, other in zip(plain, worked, strict=True):
        assert all(torch.equal(one[name], other[name]) for name in VIEWS)


def test_a_view_without_a_scale_of_its_own_takes_the_images_scale(shards):
    whole, small = (dataset(shards, crop_scale=scale).__getitems__(KEYS) for scale in [(0.9, 1.0), (0.1, 0.2)])
    assert not torch.equal(whole["global"], small["global"])
    assert torch.equal(whole["local"], small["local"])


@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
@pytest.mark.parametrize("scale", [None, (0.05, 0.1)])
def test_without_colour_changes_a_view_is_the_crop_that_its_settings_ask_for(shards, monkeypatch, scale, interpolation):
    for name in ("JITTER_PROBABILITY", "GREY_PROBABILITY"):
        monkeypatch.setattr(views_module, name, 0.0)
    view = View((16, 24), blur=0.0, crop_scale=scale, interpolation=interpolation)
    images = ImagesSection(crop_scale=(0.2, 0.3), crop_ratio=(0.5, 0.6), flip=1.0)
    batch = ViewImages(shards, {"a": [view, view]}, images, 7, 3).__getitems__(KEYS)["a"]
    epochs, samples = np.array(KEYS).T
    for place in (0, 1):
        draws = KeyedGenerator(7, epochs, samples, f"a view {place}")
        crops = draw_crops(shards.sizes[samples], scale or (0.2, 0.3), (0.5, 0.6), 1.0, draws)
        for found, sample, crop in zip(batch[:, place], samples, crops):
            source = Image.open(io.BytesIO(shards.image_bytes(int(sample))))
            box = crop.left, crop.top, crop.left + crop.width, crop.top + crop.height
            expected = source.crop(box).resize((24, 16), Image.Resampling[interpolation.upper()])
            assert_near(found.flip(2), expected)


def test_hue_turns_by_a_fifth_of_the_circle_at_most():
    red = np.full((4, 4, 3), (200, 0, 0), dtype=np.uint8)
    for drawn, turn in ((0.0, -0.1), (0.5, 0.0), (0.75, 0.05)):
        after, _ = look(pixels=red, jitter=0, hue=drawn)
        expected = np.asarray(F.adjust_hue(Image.fromarray(red), turn))
        assert np.abs(after.astype(int) - expected).max() <= 2


def look(view=VIEWS["global"][1], pixels=None, **draws):
    if pixels is None:
        pixels = np.random.default_rng(1).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    numbers = OFF.copy()
    for name, value in draws.items():
        numbers[globals()[name.upper()]] = value
    return pixels_after(pixels, view, numbers), pixels


def pixels_after(pixels, view, numbers):
    """`recoloured` on arrays [h, w, c]."""
    return recoloured(torch.from_numpy(pixels).permute(2, 0, 1), view, numbers.tolist()).permute(1, 2, 0).numpy()


def test_with_every_change_off_the_pixels_stay():
    after, before = look()
    assert np.array_equal(after, before)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("brightness", lambda image: F.adjust_brightness(image, 1.2)),
        ("contrast", lambda image: F.adjust_contrast(image, 1.2)),
        ("saturation", lambda image: F.adjust_saturation(image, 1.1)),
    ],
)
def test_a_factor_drawn_at_three_quarters_is_half_way_to_the_strongest(name, change):
    after, before = look(jitter=0.79, **{name: 0.75})
    expected = np.asarray(F.adjust_hue(change(Image.fromarray(before)), 0.0))
    assert np.abs(after.astype(int) - expected).max() <= 2  # hue goes to HSV and back
    assert np.abs(after.astype(int) - before).mean() > 3
    assert np.array_equal(look(jitter=0.81, **{name: 0.75})[0], before)


def test_the_order_of_the_jitter_is_drawn():
    strong = {"jitter": 0, "brightness": 0.99, "contrast": 0.0, "hue": 0.9}
    first, _ = look(**strong)
    numbers = OFF.copy()
    for name, value in strong.items():
        numbers[globals()[name.upper()]] = value
    numbers[5:9] = numbers[5:9][::-1]
    _, pixels = look()
    assert not np.array_equal(first, pixels_after(pixels, VIEWS["global"][1], numbers))


def test_grey_blur_and_solarise_follow_their_probabilities():
    grey, pixels = look(grey=0.19)
    assert np.array_equal(grey, np.repeat(np.asarray(Image.fromarray(pixels).convert("L"))[:, :, None], 3, axis=2))
    assert np.array_equal(look(grey=0.21)[0], pixels)
    weak, strong = (look(blur=0.09, sigma=sigma)[0] for sigma in (0.0, 0.99))
    assert strong.std() < 0.4 * pixels.std() < weak.std()
    assert np.array_equal(look(blur=0.11)[0], pixels)
    assert np.array_equal(look(solarise=0.19)[0], np.asarray(ImageOps.solarize(Image.fromarray(pixels), 128)))
    assert np.array_equal(look(solarise=0.21)[0], pixels)
    assert np.array_equal(look(VIEWS["global"][0], solarise=0.0)[0], pixels)


def test_grey_images_stay_grey():
    pixels = np.random.default_rng(1).integers(0, 256, (16, 16, 1), dtype=np.uint8)
    after, _ = look(pixels=pixels, jitter=0, grey=0, blur=0, solarise=0, brightness=0.9, hue=0.9)
    assert after.shape == (16, 16, 1) and not np.array_equal(after, pixels)
