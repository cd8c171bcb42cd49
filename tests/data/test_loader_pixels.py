"""What the loader decodes is what Pillow decodes, bit for bit, whatever a data set is packed as."""

import io

import numpy as np
import pytest
import torch
from helpers.levels import assert_near
from PIL import Image

from simmim.data import pixels as pixels_module
from simmim.data import shards as shards_module
from simmim.data.decode import CODECS
from simmim.data.packing import pack
from simmim.data.pixels import batch_of, open_image, picture_of, pixels_of, resized
from simmim.data.samples import RawSample
from simmim.data.shards import Shards

NOISE = np.random.default_rng(0).integers(80, 176, (45, 70, 3), dtype=np.uint8)  # bicubic does not clip


def encoded(file_format, array=NOISE, **options):
    stream = io.BytesIO()
    Image.fromarray(array).save(stream, file_format, **options)
    return stream.getvalue()


KINDS = {
    "4:4:4": encoded("JPEG", quality=90, subsampling=0),
    "4:2:0": encoded("JPEG", quality=75, subsampling=2),
    "progressive": encoded("JPEG", quality=80, progressive=True),
    "restarts": encoded("JPEG", quality=80, restart_marker_blocks=2),
    "grey": encoded("JPEG", NOISE[:, :, 0], quality=80),
    "PNG": encoded("PNG"),
    "grey PNG": encoded("PNG", NOISE[:, :, 0]),
    "PPM": encoded("PPM"),
}


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("kind", KINDS)
def test_all_kinds_are_decoded_as_pillow_decodes_them(kind, channels, recwarn):
    wanted = np.asarray(Image.open(io.BytesIO(KINDS[kind])).convert("RGB" if channels == 3 else "L"))
    for content in (KINDS[kind], bytearray(KINDS[kind])):
        image = open_image(content, channels)
        assert image.shape == (channels, 45, 70) and image.dtype == torch.uint8
        assert np.array_equal(image.permute(1, 2, 0).numpy().reshape(wanted.shape), wanted)
        picture = picture_of(image)
        assert np.array_equal(np.asarray(picture), wanted) and torch.equal(pixels_of(picture), image)
    assert not [each for each in recwarn if "writable" in str(each.message)]


def test_a_jpeg_that_the_fast_decoder_refuses_is_read_all_the_same(monkeypatch):
    wanted = open_image(KINDS["4:2:0"])

    def refuse(*_):
        raise RuntimeError("arithmetic coding")

    monkeypatch.setattr(pixels_module, "decode_jpeg", refuse)
    assert torch.equal(open_image(KINDS["4:2:0"]), wanted)


@pytest.mark.parametrize(("interpolation", "filter_"), [("bilinear", "BILINEAR"), ("bicubic", "BICUBIC")])
@pytest.mark.parametrize("size", [(45, 70), (20, 31), (90, 33), (3, 200)])
@pytest.mark.parametrize("channels", [1, 3])
def test_sizes_change_as_in_pillow(interpolation, filter_, size, channels):
    picture = Image.fromarray(NOISE if channels == 3 else NOISE[:, :, 0])
    found = resized(pixels_of(picture), size, interpolation)
    assert found.dtype == torch.uint8
    assert_near(found, picture.resize(size[::-1], Image.Resampling[filter_]))


def test_a_batch_keeps_the_channels_of_a_pixel_beside_each_other():
    images = [open_image(KINDS["PNG"]), open_image(KINDS["PPM"])]
    batch = batch_of(images)
    assert torch.equal(batch, torch.stack(images)) and batch.stride()[1] == 1


class Two:
    """A JPEG and a PNG."""

    def classes(self):
        return []

    def fingerprint(self):
        return ""

    def samples(self):
        yield RawSample("a.jpg", KINDS["4:2:0"], None)
        yield RawSample("b.png", KINDS["PNG"], None)


@pytest.mark.parametrize("codec", CODECS)
def test_what_a_codec_stores_comes_back(tmp_path, codec):
    pack(Two(), tmp_path, codec=codec, shard_samples=2, short_side_px=None)
    shards = Shards(tmp_path)
    for i, name in enumerate(("4:2:0", "PNG")):
        found, wanted = open_image(shards.image_bytes(i)), open_image(KINDS[name])
        differing = (found.int() - wanted.int()).abs().float().mean()  # noise is what JPEG keeps least
        assert tuple(shards.sizes[i]) == found.shape[1:] == (45, 70)
        assert differing < 40 if codec == "jpeg" else differing == 0
    if codec == "rgb8":  # any reader of Parquet gets pictures that any library of images opens
        assert len(shards.image_bytes(1)) == len("P6\n70 45\n255\n") + NOISE.size


def test_raw_pixels_are_reduced_when_packed(tmp_path):
    pack(Two(), tmp_path, codec="rgb8", shard_samples=2, short_side_px=30)
    assert_near(open_image(Shards(tmp_path).image_bytes(1)), Image.fromarray(NOISE).resize((47, 30), 3))


def test_a_process_verifies_a_sample_once(tmp_path, monkeypatch):
    pack(Two(), tmp_path, codec="original", shard_samples=2, short_side_px=None)
    shards, verified = Shards(tmp_path), []
    digest = shards_module.content_digest
    monkeypatch.setattr(shards_module, "content_digest", lambda *content: verified.append(1) or digest(*content))
    assert [bytes(shards.image_bytes(i)) for i in (0, 1, 0, 0, 1)] == [
        KINDS[("4:2:0", "PNG")[i]] for i in (0, 1, 0, 0, 1)
    ]
    assert len(verified) == 2
