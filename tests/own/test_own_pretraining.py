"""Own images by one command: from a folder of pictures to encoder, gallery and page, outside the checkout."""

import io
import json
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest
from helpers.photos import write_photos
from PIL import Image

import simmim
from simmim.__main__ import EXIT_INTERRUPTED, main
from simmim.config.reading import read_yaml
from simmim.data.index import read_index
from simmim.storage import records

ROOT = Path(__file__).parents[2]
QUICK = ["--model", "swin_micro", "--image-px", "32", "--steps", "4", "--batch", "8"]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A run of a few updates, made from a folder outside the checkout; that folder, and what was printed."""
    place = tmp_path_factory.mktemp("user")
    write_photos(place / "my photos" / "2024" / "spring", 20)
    command, said = ["pretrain", "--data", "my photos", "--out", "runs/mine", *QUICK], io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(said), redirect_stderr(said):
        patch.chdir(place)
        assert main(command) == 0
    return place, said.getvalue()


def test_it_says_what_it_chose_and_why(made):
    said = made[1]
    assert "20 images" in said and "8 of them to look at, not to learn from" in said
    assert "4 updates of 8 images, 2.66667 epochs (4 updates asked for)" in said
    assert "peak rate 3.5e-04 = 2.3e-02 x 8 / 512 (1.0e-03 at 64 images, by the square root of the batch)" in said
    assert "warning   4 updates teach little" in said and "12 images are few" in said
    assert "loss " in said and "predicting the mean colour of what is visible gives" in said


def test_the_run_folder_explains_itself(made):
    folder = made[0] / "runs" / "mine"
    page, result = (folder / "README.md").read_text(), json.loads((folder / "result.json").read_text())
    options = "--model swin_micro --seed 0 --batch 8 --steps 4 --image-px 32x32"
    command = f"simmim pretrain --data '{made[0] / 'my photos'}' {options} --out runs/mine"
    assert f"\n    {command}\n" in page and result["command"] == command and "on 8 held-out images" in page
    for name in ("encoder.safetensors", "gallery.png", "progress.png", "metrics.parquet", "result.json"):
        assert (folder / name).is_file() and f"`{name}`" in page, name
    frame = records.read([folder / "metrics.parquet"])
    losses = frame[frame["metric"] == "validation_loss"]["value"]
    assert result["numbers"]["validation_loss"] == losses.iloc[0]
    height, width = 8, 4  # images and columns
    assert Image.open(folder / "gallery.png").size == (width * 166 + 6, 24 + height * 166 + 6)


def test_the_two_splits_are_disjoint_and_recorded(made):
    data = made[0] / "runs" / "mine" / "results" / "own" / "data" / "images"
    train, held_out = (read_index(data / split) for split in ("train", "val"))
    assert (train["samples"], held_out["samples"]) == (12, 8)
    assert (train["part"], held_out["part"]) == ("train", "held_out") and train["held_out"] == held_out["held_out"]


def test_the_same_command_again_is_finished_at_once(made, capsys, monkeypatch):
    monkeypatch.chdir(made[0])
    monkeypatch.setattr("simmim.own.pretraining.make", lambda *_, **__: pytest.fail("it works again"))
    assert main(["pretrain", "--data", "my photos", "--out", "runs/mine", *QUICK]) == 0
    assert "runs/mine is finished, nothing to do" in capsys.readouterr().out
    asked = {"model": "swin_micro", "image_px": 32, "steps": 4, "batch": 8}
    result = simmim.pretrain(data="my photos", out="runs/mine", **asked)
    assert result.files["encoder"].is_file() and result.numbers["validation_loss"] > 0


@pytest.mark.parametrize(
    ("options", "difference"),
    [
        ([*QUICK, "--batch", "4"], "train.batch: 8 before, 4 now"),
        ([*QUICK, "--set", "mask.ratio=0.5"], "mask.ratio: 0.6 before, 0.5 now"),
        ([*QUICK, "--seed", "1"], "seed: 0 before, 1 now"),
        ([*QUICK, "--model", "vit_micro"], "encoder.name: swin before, vit now"),
    ],
)
def test_other_settings_are_refused_with_the_difference(made, capsys, monkeypatch, options, difference):
    monkeypatch.chdir(made[0])
    assert main(["pretrain", "--data", "my photos", "--out", "runs/mine", *options]) == 2
    error = capsys.readouterr().err
    assert "runs/mine was begun otherwise; name another folder, or undo: " in error and difference in error
    assert error.count("\n") == 1


def test_an_interrupted_run_goes_on_and_changed_images_are_refused(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_photos(Path("photos"), 10)

    def stopped(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("simmim.own.pretraining.make", stopped)
    options = ["pretrain", "--data", "photos", "--out", "mine", *QUICK]
    assert main(options) == EXIT_INTERRUPTED
    asked = []
    monkeypatch.setattr("simmim.own.pretraining.make", lambda jobs, file, **_: asked.append(file))
    monkeypatch.setattr("simmim.own.pretraining.measured", lambda _: pytest.skip("far enough") if asked else None)
    write_photos(Path("photos"), 11)
    assert main(options) == 2 and not asked
    assert "have changed since mine was begun; name another folder" in capsys.readouterr().err


def test_a_dry_run_says_what_it_takes_and_writes_nothing(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("simmim.own.machine.seconds_per_image", lambda config: 0.5)
    write_photos(Path("photos"), 10)
    asked = {"model": "swin_micro", "image_px": 32, "steps": 4, "batch": 4}
    assert simmim.pretrain(data="photos", out="mine", dry_run=True, **asked) is None
    said = capsys.readouterr().out
    assert "1.1 million parameters" in said and "about 0:08 for 16 images at 2 images/s" in said and "GB" in said
    assert [path.name for path in tmp_path.iterdir()] == ["photos"]
    simmim.init("mine", data="photos", **asked)  # begun, and nothing is trained yet
    monkeypatch.setattr("simmim.own.pretraining.make", lambda *_, **__: pytest.fail("it trains"))
    assert simmim.pretrain(data="photos", out="mine", dry_run=True, **asked) is None
    assert "about 0:08 for 16 images" in capsys.readouterr().out


SMALL = ["--data", "photos", "--model", "swin_micro", "--image-px", "32"]
MISTAKES = [
    (["--data", "nowhere"], "--data nowhere does not exist"),
    (["--data", "photos", "--model", "swin_tini"], "unknown model 'swin_tini'; did you mean 'swin_tiny'"),
    (["--data", "photos", "--out", "photos/out"], "photos/out lies inside --data"),
    (["--data", "photos", "--out", "full"], "full holds other files"),
    (["--data", "photos", "--image-px", "wide"], "--image-px wide must be a number such as 192"),
    (["--data", "photos", "--batch", "0"], "--batch 0 must be a number above 0"),
    (["--data", "photos", "--epochs", "inf"], "--epochs inf must be a number above 0"),
    (["--data", "photos", "--lr", "nan"], "--lr nan must be a number above 0"),
    (["--data", "photos", "--seed", "-1"], "--seed -1 must be 0 or above"),
    (["--data", "photos", "--set", "mask.ratio=0.4", "--set", "mask.ratoi=0.5"], "did you mean 'ratio'"),
    (["--data", "photos", "--set", "mask.ratoi=0.5", "--set", "mask.ratio=0.4"], "did you mean 'ratio'"),
    (["--data", "photos", "--epochs", "1", "--steps", "1"], "--epochs 1 and --steps 1: give one of them"),
    (["--data", "photos", "--set", "mask.ratoi=0.5"], "did you mean 'ratio'"),
    (["--data", "photos", "--set", "ratio"], "'ratio' in column 'set' is not key=value"),
    (["--data", "photos", "--model", "swin_micro", "--image-px", "33"], "33"),
    (["--data", "photos/0.png"], "is neither a folder nor a .tar, .parquet or .txt file"),
    ([*SMALL, "--set", "mask.ratio=2"], "mask.ratio 2.0 must lie inside (0, 1)"),
    ([*SMALL, "--set", "geometry.masked_patch_px=12"], "masked patch of 12 px does not divide the image of 32 x 32 px"),
    ([*SMALL, "--set", "encoder.drop_path=3"], "encoder.drop_path 3 must be at least 0 and below 1"),
    ([*SMALL, "--set", "init.encoder=none.safetensors"], "init.encoder none.safetensors does not exist"),
    ([*SMALL, "--set", "seeds=3"], "seeds: this command trains once"),
    (["--data", "one"], "holds 1 images; at least 2 are needed"),
]


@pytest.mark.parametrize(("options", "message"), MISTAKES)
def test_a_mistake_is_one_line_and_nothing_is_written(tmp_path, monkeypatch, capsys, options, message):
    monkeypatch.chdir(tmp_path)
    write_photos(Path("photos"), 3)
    write_photos(Path("one"), 1)
    write_photos(Path("full"), 1)
    before = sorted(tmp_path.rglob("*"))
    assert main(["pretrain", "--out", "mine", *options]) == 2
    error = capsys.readouterr().err
    assert error.startswith("simmim: error: ") and message in error and error.count("\n") == 1, error
    assert "/tmp/simmim-" not in error and sorted(tmp_path.rglob("*")) == before


def test_a_row_of_the_sheets_is_still_named_by_run():
    assert (
        main(["pretrain", "--scale", "smoke", "--run", "defualt", "--seed", "0", "--config", str(ROOT / "config")]) == 2
    )


def test_the_recipe_is_one_that_rows_can_use(made):
    recipe = read_yaml(made[0] / "runs" / "mine" / "config" / "recipes" / "mine.yaml")
    assert recipe["train"]["base_lr_batch"] == 512 and recipe["geometry"]["image_px"] == [32, 32]
