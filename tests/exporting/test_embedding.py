"""A vector for every image of a folder, an archive or a list; bad ones are named."""

import tarfile

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from exporting.encoder_files import VIT, written
from helpers.band_files import npy, png, scene, tiff, write
from PIL import Image

from simmim.__main__ import main
from simmim.exporting.embedding import embed
from simmim.layers.normaliser import ImageNormaliser
from simmim.storage.encoder_file import load_encoder

NAMES = ["a/1.png", "a/b/2.png", "c/3.png", "4.png"]


def _pages(array):
    return tiff(array, "pages")


@pytest.fixture
def images(tmp_path):
    folder = tmp_path / "images"
    for number, name in enumerate(NAMES):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(number).integers(256, size=(64, 64, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(path)
    return folder


def _expected(encoder, folder, block=0):
    network, header = load_encoder(encoder)
    pixels = np.stack([np.asarray(Image.open(folder / name)) for name in sorted(NAMES)])
    found = ImageNormaliser(header["mean"], header["std"])(torch.from_numpy(pixels).permute(0, 3, 1, 2))
    with torch.no_grad():
        network.eval()
        return list(network.block_maps(found))[block - 1] if block else network(found)


def _table(file):
    table = pq.read_table(file)
    return table["path"].to_pylist(), torch.tensor(np.stack(table["vector"].to_numpy(zero_copy_only=False)))


def test_a_row_for_every_image(tmp_path, images):
    encoder = written(tmp_path, VIT)
    done = embed(images, encoder, tmp_path / "features.parquet", batch=3)
    paths, vectors = _table(tmp_path / "features.parquet")
    assert (done.images, done.shape, done.refused) == (4, (24,), {})
    assert paths == sorted(NAMES)
    torch.testing.assert_close(vectors, _expected(encoder, images).mean((2, 3)), rtol=0, atol=1e-5)


def test_any_block_and_maps(tmp_path, images):
    encoder = written(tmp_path, VIT)
    embed(images, encoder, tmp_path / "block.parquet", block=2)
    torch.testing.assert_close(
        _table(tmp_path / "block.parquet")[1], _expected(encoder, images, 2).mean((2, 3)), rtol=0, atol=1e-5
    )
    done = embed(images, encoder, tmp_path / "map.parquet", block=2, feature_map=True)
    assert done.shape == (24, 4, 4)
    found = _table(tmp_path / "map.parquet")[1].unflatten(1, done.shape)
    torch.testing.assert_close(found, _expected(encoder, images, 2), rtol=0, atol=1e-5)
    about = pq.read_schema(tmp_path / "map.parquet").metadata
    assert (about[b"shape"], about[b"image_px"], about[b"block"]) == (b"24 x 4 x 4", b"64 x 64", b"2")


@pytest.mark.parametrize(
    ("files", "bits", "said"),
    [
        ({"a.png": png, "b.tif": tiff, "c.npy": npy}, 8, True),
        ({"a.png": png, "b.tif": tiff, "c.npy": npy}, 8, False),
        ({"a.tif": _pages, "b.npy": npy}, 16, True),
        ({"a.tif": _pages, "b.npy": npy}, 16, False),
    ],
)
def test_all_bands_are_read_from_every_kind_of_file(tmp_path, files, bits, said):
    pixels = scene(0, 4, bits, (64, 64))
    write(tmp_path / "scenes", {name: encode(pixels) for name, encode in files.items()})
    write(tmp_path / "scenes", {"other.npy": npy(pixels[:3])})
    encoder = written(tmp_path, VIT, channels=4, **{"bits": bits} if said else {})
    done = embed(tmp_path / "scenes", encoder, tmp_path / "out.parquet")
    assert list(done.refused) == ["other.npy"] and "3 x 64 x 64 values of type uint" in done.refused["other.npy"]
    paths, vectors = _table(tmp_path / "out.parquet")
    assert paths == sorted(files) and all(torch.equal(each, vectors[0]) for each in vectors)
    network = load_encoder(encoder)[0]
    shares = torch.from_numpy(pixels[None] / np.float32(2**bits - 1))
    with torch.no_grad():
        expected = network.eval()((shares - 0.5) / 0.25).mean((2, 3))[0]
    torch.testing.assert_close(vectors[0], expected, rtol=0, atol=1e-5)


def test_grey_of_16_bits_keeps_its_levels_where_the_encoder_has_learnt_from_them(tmp_path):
    pixels = scene(0, 1, 16, (64, 64)) // 16  # as of 12 bits
    files = {"a.png": png(pixels), "b.tif": tiff(pixels), "c.npy": npy(pixels)}
    write(tmp_path / "scenes", files)
    embed(tmp_path / "scenes", written(tmp_path, VIT, channels=1, bits=16), tmp_path / "out.parquet")
    paths, vectors = _table(tmp_path / "out.parquet")
    assert paths == sorted(files) and all(torch.equal(each, vectors[2]) for each in vectors)


def test_tars_and_lists_give_the_same(tmp_path, images):
    encoder = written(tmp_path, VIT)
    with tarfile.open(tmp_path / "images.tar", "w") as archive:
        for name in sorted(NAMES):
            archive.add(images / name, name)
    (images / "list.txt").write_text("\n".join(sorted(NAMES)))
    embed(images, encoder, tmp_path / "folder.parquet")
    for source in (tmp_path / "images.tar", images / "list.txt"):
        embed(source, encoder, tmp_path / "other.parquet", overwrite=True)
        paths, vectors = _table(tmp_path / "other.parquet")
        assert paths == sorted(NAMES) and torch.equal(vectors, _table(tmp_path / "folder.parquet")[1])


def test_bad_images_are_named_and_the_rest_is_written(tmp_path, images, capsys):
    (images / "broken.png").write_bytes((images / "4.png").read_bytes()[:200])
    (images / "notes.md").write_text("no image")
    encoder = written(tmp_path, VIT)
    arguments = ["--data", str(images), "--encoder", str(encoder), "--out", str(tmp_path / "out.parquet")]
    assert main(["embed", *arguments]) == 0
    said = capsys.readouterr().out
    assert "4 images, vectors of 24" in said and "2 images were refused" in said
    assert "broken.png: broken" in said and "notes.md: not an image" in said
    assert main(["embed", *arguments]) == 2
    assert "out.parquet exists; --overwrite replaces it" in capsys.readouterr().err


@pytest.mark.parametrize(
    "change, message",
    [
        ({"block": 4}, "block 4 must be 1 to 3, the blocks of .*, or 0 for its output"),
        ({"batch": 0}, "batch 0 must be at least 1"),
        ({"data": "nowhere"}, r"nowhere does not exist \(.* does\); check the path"),
        ({"data": "encoder.safetensors"}, "is neither a folder nor a .tar, .parquet or .txt"),
        ({"data": "empty"}, "holds no image that can be used: it is empty"),
    ],
)
def test_what_cannot_be_is_refused_and_nothing_is_left(tmp_path, images, change, message):
    encoder = written(tmp_path, VIT)
    (tmp_path / "empty").mkdir()
    data = tmp_path / change.pop("data", "images")
    with pytest.raises(ValueError, match=message):
        embed(data, encoder, tmp_path / "out.parquet", **change)
    assert not list(tmp_path.glob("*out.parquet*"))


def test_a_folder_in_the_place_of_the_file_is_refused_before_the_work(tmp_path, monkeypatch):
    monkeypatch.setattr("simmim.exporting.embedding.load_encoder", lambda *_: pytest.fail("the work has begun"))
    encoder = written(tmp_path, VIT)
    (tmp_path / "out").mkdir()
    with pytest.raises(IsADirectoryError, match=r"Is a directory: .*/out'"):
        embed(tmp_path, encoder, tmp_path / "out", overwrite=True)


@pytest.mark.parametrize("name", ["a.pth", "a.ckpt"])
def test_a_checkpoint_in_the_place_of_an_encoder_is_to_be_converted(tmp_path, images, name):
    (tmp_path / name).write_bytes(b"PK\x03\x04")
    with pytest.raises(ValueError, match=rf"`simmim convert --from .*/{name} --to encoder.safetensors` makes"):
        embed(images, tmp_path / name, tmp_path / "out.parquet")


def test_the_largest_central_part_is_seen(tmp_path):
    folder = tmp_path / "wide"
    folder.mkdir()
    pixels = np.full((64, 192, 3), 255, np.uint8)
    pixels[:, 64:128] = np.random.default_rng(0).integers(256, size=(64, 64, 3))
    Image.fromarray(pixels).save(folder / "wide.png")
    Image.fromarray(pixels[:, 64:128]).save(folder / "cut.png")
    embed(folder, written(tmp_path, VIT), tmp_path / "out.parquet")
    cut, wide = _table(tmp_path / "out.parquet")[1]
    assert torch.equal(cut, wide)


@pytest.mark.parametrize("size", ["96x160", (96, 160), [96, 160]])
def test_another_size_is_said_as_everywhere(tmp_path, images, capsys, size):
    encoder, out = written(tmp_path, VIT), tmp_path / "out.parquet"
    assert embed(images, encoder, out, image_px=size, feature_map=True).shape == (24, 6, 10)
    assert pq.read_schema(out).metadata[b"image_px"] == b"96 x 160"
    options = ["--data", images, "--encoder", encoder, "--out", out, "--overwrite", "--feature-map"]
    assert main(["embed", *map(str, options), "--image-px", "96x160"]) == 0
    assert "vectors of 24 x 6 x 10" in capsys.readouterr().out
    assert embed(images, encoder, out, image_px=32, feature_map=True, overwrite=True).shape == (24, 2, 2)


@pytest.mark.parametrize("size", ["-64", "0", "64x-64", "wide", "1x2x3", ""])
def test_a_size_that_is_none_is_refused(tmp_path, images, capsys, size):
    encoder, out = written(tmp_path, VIT), tmp_path / "out.parquet"
    options = ["--data", images, "--encoder", encoder, "--out", out, f"--image-px={size}"]
    assert main(["embed", *map(str, options)]) == 2
    assert f"--image-px {size} must be a number such as 192" in capsys.readouterr().err
    with pytest.raises(ValueError, match="--image-px 64x0 must be a number such as 192"):
        embed(images, encoder, out, image_px=(64, 0))
