"""Pictures of a training that is interrupted: each moment has one column, and a torn picture stops nothing."""

import errno
from pathlib import Path

import numpy as np
import pytest
from helpers.pretraining import ALONE, built, packed, pretrain_config
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from simmim.data.shards import Shards
from simmim.methods.simmim import SimMIM
from simmim.pretraining import gallery
from simmim.pretraining.gallery import Moments, write_reconstructions
from simmim.pretraining.run import pretrain
from simmim.storage.identity import Identity

CONFIG = pretrain_config()  # 32 x 48 px, enlarged threefold
STEPS, EVERY = 160, 10  # moments at 10, 20, 40, 80 and 160


@pytest.fixture(scope="module")
def val(tmp_path_factory):
    return Shards(packed(tmp_path_factory.mktemp("stripes"))["val"])


def trained(val, folder, steps, seed=0):
    """Show a fresh watcher, as each process has one, the log rows of some steps; the steps that then have a column."""
    watcher, task = Moments(CONFIG, val, folder, Identity(CONFIG.as_json(), seed)), built(CONFIG)
    for step in steps:
        watcher(step, STEPS, {}, task)
    return [int(path.stem) for path in sorted((folder / "gallery").glob("0*.png"))]


def columns(folder):
    """How many columns the drawn grid has beside the image and what is seen of it."""
    return (Image.open(folder / "gallery.png").width - 6) // (3 * 48 + 6) - 2


def test_a_restart_draws_only_the_moments_that_have_no_column(val, tmp_path):
    assert trained(val, tmp_path, range(EVERY, 70, EVERY)) == [10, 20, 40] and columns(tmp_path) == 3
    assert trained(val, tmp_path, range(60, 80, EVERY)) == [10, 20, 40], "no moment has passed since"
    assert trained(val, tmp_path, range(30, STEPS + 1, EVERY)) == [10, 20, 40, 80, 160] and columns(tmp_path) == 5


def test_columns_of_another_training_are_left_out(val, tmp_path):
    trained(val, tmp_path, range(EVERY, STEPS + 1, EVERY))
    assert columns(tmp_path) == 5
    trained(val, tmp_path, range(EVERY, 30, EVERY), seed=1)
    assert columns(tmp_path) == 2
    trained(val, tmp_path, range(20, 50, EVERY), seed=1)
    assert columns(tmp_path) == 3, "its own are kept"


@pytest.mark.parametrize("torn", [0, 100, -100])
def test_a_torn_column_is_drawn_again(val, tmp_path, torn):
    trained(val, tmp_path, range(EVERY, 50, EVERY))
    column = tmp_path / "gallery" / f"{40:08d}.png"
    whole = column.read_bytes()
    column.write_bytes(whole[:torn])
    (tmp_path / "gallery.png").unlink()
    trained(val, tmp_path, range(30, 50, EVERY))
    assert column.read_bytes() == whole and columns(tmp_path) == 3


def test_what_is_no_column_of_these_pictures_is_left_out(val, tmp_path):
    trained(val, tmp_path, range(EVERY, 50, EVERY))
    note = PngInfo()
    note.add_text("simmim", Image.open(tmp_path / "gallery" / f"{40:08d}.png").info["simmim"])
    Image.new("RGB", (48, 32)).save(tmp_path / "gallery" / f"{70:08d}.png", pnginfo=note)  # of fewer images
    Image.new("RGB", (48, 32)).save(tmp_path / "gallery" / "mine.png", pnginfo=note)
    (tmp_path / "gallery" / f"{50:08d}.png").touch()  # torn, and the training has passed it
    trained(val, tmp_path, range(90, 110, EVERY))
    assert (tmp_path / "gallery" / f"{90:08d}.png").exists() and columns(tmp_path) == 4


def test_a_write_that_fails_leaves_no_half_column(val, tmp_path, monkeypatch):
    def torn(image, file, *rest, whole=Image.Image.save, **options):
        if not isinstance(file, Path):
            return whole(image, file, *rest, **options)
        file.write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", torn)
    with pytest.raises(OSError, match=r"gallery/00000010\.png"):
        trained(val, tmp_path, [10])
    assert not [*(tmp_path / "gallery").iterdir()]


def test_many_pictures_are_predicted_in_parts_and_are_the_same(val, tmp_path, monkeypatch):
    run = pretrain_config(train={"epochs": 0})
    pretrain(run, 0, dict.fromkeys(("train", "val"), val.folder), tmp_path, ALONE)
    seen = []

    def counted(method, images, hidden, whole=SimMIM.reconstruct):
        seen.append(len(images))
        return whole(method, images, hidden)

    monkeypatch.setattr(SimMIM, "reconstruct", counted)
    for name, at_once in ("whole", 64), ("parts", 6):
        monkeypatch.setattr(gallery, "_AT_ONCE", at_once, raising=False)
        write_reconstructions(run, tmp_path, val, tmp_path / f"{name}.png", None)
    assert seen == [16, 6, 6, 4]
    whole, parts = (np.asarray(Image.open(tmp_path / f"{name}.png"), np.int16) for name in ("whole", "parts"))
    assert whole.shape == parts.shape and np.abs(whole - parts).max() <= 1  # sums of another batch size may be rounded
