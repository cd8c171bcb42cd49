"""`simmim verify` and `simmim plan` say when packed data are damaged or no longer what their source is."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from simmim.__main__ import main

ROOT = Path(__file__).parents[1]


def photos(folder: Path, count: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        pixels = np.random.default_rng(number).integers(0, 255, (32, 32, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")


@pytest.fixture
def project(tmp_path):
    """Options of the command line for a scale with one packed data set of four photos, and the folder of these."""
    config = Path(shutil.copytree(ROOT / "config", tmp_path / "config"))
    photos(tmp_path / "photos", 4)
    rows = "".join(f"mine\t{split}\timage_folder\t\troot={tmp_path / 'photos'}\n" for split in ("train", "val"))
    (config / "datasets.tsv").write_text((config / "datasets.tsv").read_text() + rows)
    (config / "scales" / "mine.yaml").write_text("datasets: {pretrain: mine}\n")
    options = ["--config", str(config), "--results", str(tmp_path / "results"), "--scale", "mine"]
    for split in ("train", "val"):
        assert main(["pack", "--dataset", "mine", "--split", split, *options]) == 0
    return options, tmp_path


def test_sound_data_of_the_same_source_pass(project, capsys):
    assert main(["verify", *project[0]]) == 0
    assert capsys.readouterr().out.count("as it was packed") == 2


@pytest.mark.parametrize("change", ["added", "removed", "edited"])
def test_a_changed_source_is_said(project, capsys, change):
    options, folder = project
    if change == "added":
        photos(folder / "photos", 5)
    elif change == "removed":
        (folder / "photos" / "0.png").unlink()
    else:
        photos(folder / "other", 1)
        (folder / "photos" / "0.png").write_bytes((folder / "other" / "0.png").read_bytes() + b" ")
    assert main(["verify", *options]) == 2
    assert capsys.readouterr().err.count("source has changed since it was packed") == 2


def test_a_damaged_shard_is_said(project, capsys):
    options, folder = project
    shard = next((folder / "results" / "mine" / "data" / "mine" / "train").glob("shard-*.parquet"))
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 1
    shard.write_bytes(content)
    assert main(["verify", *options]) == 2
    assert "pack" in capsys.readouterr().err


def test_a_folder_in_the_place_of_an_index_is_said(project, capsys):
    options, folder = project
    index = folder / "results" / "mine" / "data" / "mine" / "val" / "index.json"
    index.unlink()
    index.mkdir()
    assert main(["verify", *options]) == 2
    assert "is not a packed data set: it has no index.json" in capsys.readouterr().err


def test_images_that_are_missing_from_a_published_set_are_said(project, capsys):
    options, folder = project
    sheet = folder / "config" / "datasets.tsv"
    row = f"mine\ttrain\timage_folder\t\troot={folder / 'photos'}"
    sheet.write_text(sheet.read_text().replace(row, f"{row}\t5\t\t"))
    assert main(["verify", *options]) == 2
    assert "4 images, and config/datasets.tsv says 5; mend the source and remove" in capsys.readouterr().err
