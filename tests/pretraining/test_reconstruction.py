"""What Figure 4 hides: more than 90 % of an outlined object and all of it, in the largest patches that allow it."""

import io

import numpy as np
import pandas as pd
import pytest
from helpers.pretraining import ALONE, packed, pretrain_config
from PIL import Image

from simmim.pretraining.reconstruction import reconstruct
from simmim.pretraining.run import pretrain

CONFIG = pretrain_config(train={"epochs": 0})  # 32 x 48 px, masked patches of 16 px, tokens of 4 px
OUTLINES = {"1.png": "polygon 0.3 0.1 0.7 0.1 0.5 0.7", "0.png": "box 0.1 0.1 0.15 0.15"}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    pretrain(CONFIG, 0, packed(folder), folder, ALONE)
    return folder


def hidden(rows, sample, mask):
    (found,) = rows[(rows["sample_id"] == sample) & (rows["mask"] == mask)]["hidden"]
    return np.asarray(Image.open(io.BytesIO(found))) > 127


def test_outlined_objects_are_hidden_for_more_than_90_percent_and_whole(run, capsys):
    reconstruct(CONFIG, run, run / "val", OUTLINES)
    rows = pd.read_parquet(run / "reconstruction.parquet")
    assert len(set(rows["sample_id"])) == 9, "eight spread over the set, and the outlined '1.png'"
    assert rows.groupby("sample_id")["region"].unique().explode().value_counts().to_dict() == {
        "central box": 7,
        "object": 2,
    }
    drawn = rows[rows["mask"] != "own"]
    assert drawn.groupby("mask")["sample_id"].nunique().to_dict() == {"all": 8, "most": 8}
    assert "no pictures of '0.png' with most of it hidden: mask.share 0.905 of 2 cells" in capsys.readouterr().out
    for sample in set(drawn["sample_id"]):
        most, whole = hidden(rows, sample, "most"), hidden(rows, sample, "all")
        assert 0.9 < most.sum() / whole.sum() < 1 and not (most & ~whole).any() and not whole.all()
    y, x = np.mgrid[:32, :48] + 0.5
    inside = (y > 0.1 * 32) & (abs(x / 48 - 0.5) < (0.7 - y / 32) / 3)  # the triangle
    assert hidden(rows, "1.png", "all")[inside].all()


@pytest.mark.parametrize(
    ("outline", "width", "height", "patch", "visible"),
    [
        ("box 0.2 0.2 0.8 0.8", 32, 32, 8, 1),  # touches all patches of 16 px, and 16 of 8 px
        ("box 0.2 0.1 0.8 0.7", 32, 24, 8, 1),
        ("box 0.2 0.3 0.6 0.7", 24, 16, 4, 2),  # 6 patches of 8 px: none would stay visible
        ("box 0.11 0.16 0.72 0.59", 32, 16, 4, 3),  # 15 patches of 8 px are 1.9 times the tokens that it touches
    ],
)
def test_patches_are_parts_of_the_run_s_as_large_as_the_object_allows(run, outline, width, height, patch, visible):
    reconstruct(CONFIG, run, run / "val", {"0.png": outline})
    rows = pd.read_parquet(run / "reconstruction.parquet")
    whole = hidden(rows, "0.png", "all")
    shown = whole & ~hidden(rows, "0.png", "most")
    assert whole.sum() == width * height and (whole.any(0).sum(), whole.any(1).sum()) == (width, height)
    patches = shown.reshape(32 // patch, patch, 48 // patch, patch)
    assert shown.sum() == visible * patch**2 and (patches.all((1, 3)) == patches.any((1, 3))).all()


def test_an_outline_in_an_image_that_is_not_there_is_refused(run):
    with pytest.raises(ValueError, match=r"outlines '16.png', which data set 'made_up' .* nearest: '1?6.png'"):
        reconstruct(CONFIG, run, run / "val", {"16.png": "box 0 0 0.5 1"})
