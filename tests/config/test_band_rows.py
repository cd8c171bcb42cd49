"""Rows of the sheets that speak of bands: what they become, what they change, and what is wrong with others."""

import pytest
from helpers.sheets import append

from simmim.config.errors import DoesNotFit
from simmim.config.sheets import Sheets
from simmim.jobs import Jobs


def scenes(folder, packing, run="images.channels=13 images.mean=measured", shown=""):
    """Jobs of a scale whose images have 13 bands, and a run `s2` on them."""
    for split in ("train", "val"):
        append(folder / "datasets.tsv", "s2", split, "image_folder", "", f"root=$data/s2/{split} {packing} {shown}")
    append(folder / "pretrain.tsv", "s2", "swin_b_100ep", run)
    append(folder / "evaluate.tsv", "s2", "sixteen", "finetune_swin_b", 'settings.auto_augment=""')
    (folder / "scales" / "own.yaml").write_text("datasets: {pretrain: s2, classify: s2}\nruns: [s2]\n")
    return Jobs(Sheets(folder))


BANDS = "pack.bands=13 pack.bits=16"


def test_a_row_says_how_many_channels_there_are(folder):
    jobs = scenes(folder, BANDS)
    config = jobs.job("pretrain", scale="own", run="s2", seed=0).config
    assert (config.channels, config.images.mean, config.images.std) == (13, "measured", "measured")
    assert config.as_json()["images"]["channels"] == 13 and config.data["val"].pack.bits == 16
    assert jobs.sheets.evaluation("own", "s2", "sixteen").data["train"].pack.bands == 13
    with pytest.raises(DoesNotFit, match=r"'imagenet' is packed as 8-bit pictures: give it pack.bands=13"):
        jobs.sheets.pretraining("paper", "s2")


def test_other_shown_bands_are_other_pictures_and_nothing_else(folder, tmp_path):
    jobs = scenes(folder, BANDS)
    other = tmp_path / "other"
    folder.rename(other)
    found = {}
    for shown in ("", "pack.shown_bands=4,3,2"):
        sheet = other / "datasets.tsv"
        sheet.write_text(sheet.read_text().replace(BANDS, f"{BANDS} {shown}".strip()))
        jobs = Jobs(Sheets(other))
        where = {"scale": "own", "run": "s2", "seed": 0}
        packed = jobs.job("pack", scale="own", dataset="s2", split="train")
        found[shown] = [packed.hash, *(jobs.job(kind, **where).hash for kind in ("pretrain", "reconstruct"))]
    before, after = found.values()
    assert before[:2] == after[:2] and before[2] != after[2]


def test_existing_configs_say_nothing_of_bands(folder):
    config = Sheets(folder).without_data.pretraining("paper", "default").as_json()
    assert "channels" not in config["images"] and not {"bands", "bits", "shown_bands"} & set(
        config["data"]["val"]["pack"]
    )


@pytest.mark.parametrize(
    ("packing", "run", "words"),
    [
        ("pack.bands=13", "", "pack.bands and pack.bits go together"),
        ("pack.bands=13 pack.bits=12", "", "pack.bits=12 must be 8 or 16"),
        (f"{BANDS} pack.codec=jpeg", "", "leave out pack.codec"),
        (f"{BANDS} pack.shown_bands=14", "", "pack.shown_bands=14 must lie in 1 to pack.bands, which is 13"),
        (f"{BANDS} pack.shown_bands=4,3", "", "shown_bands = '4,3': give three bands .* or one"),
        (f"{BANDS} pack.band=4", "", "did you mean 'pack.band"),
        (BANDS, "images.mean=measured", "images.mean=measured needs images.channels"),
        (BANDS, "images.mean=mesured images.channels=13", "images.mean = 'mesured': .*'measured'"),
        (BANDS, "images.channels=13", r"images.mean has 3 .* for every channel \(13\)"),
        (BANDS, "", "packed with pack.bands=13 and read as 3 channels: set images.channels=13"),
    ],
)
def test_a_mistake_is_said_in_a_sentence(folder, packing, run, words):
    with pytest.raises(ValueError, match=words) as error:
        scenes(folder, packing, run).job("pretrain", scale="own", run="s2", seed=0)
    assert "\n" not in str(error.value) and "pydantic" not in str(error.value)
