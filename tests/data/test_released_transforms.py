"""Crops and evaluation views against those of the released code, which resizes with Pillow."""

import json
from pathlib import Path

import pytest
from helpers.levels import assert_near
from safetensors.torch import load_file

from simmim.data.classification import scoring_view
from simmim.data.crops import Crop, cut

GOLDEN = Path(__file__).parents[1] / "golden"
CASE = json.loads((GOLDEN / "transforms_a.json").read_text())
TENSORS = load_file(GOLDEN / "transforms_a.data.safetensors")
CENTRE_CROPS = [row for row in CASE["eval_rows"] if row["center_crop"]]


@pytest.mark.parametrize("row", CASE["pretrain_crop_rows"], ids=lambda row: row["key"])
def test_the_pre_training_crop_of_a_given_box(row):
    crop = Crop(row["top"], row["left"], row["height"], row["width"], row["flip"])
    pixels = cut(TENSORS[row["image"]].permute(2, 0, 1), crop, (row["img_size"],) * 2)
    assert_near(pixels, TENSORS[f"{row['key']}.u8"])


@pytest.mark.parametrize("row", CENTRE_CROPS, ids=lambda row: row["key"])
def test_the_evaluation_view(row):
    pixels = scoring_view(TENSORS[row["image"]].permute(2, 0, 1), row["img_size"], 224 / 256)
    assert_near(pixels, TENSORS[f"{row['key']}.u8"])
