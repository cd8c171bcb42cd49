"""Crops and evaluation views against the released code's, pixel for pixel."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load_file

from simmim.data.classification import scoring_view
from simmim.data.crops import Crop, cut

GOLDEN = Path(__file__).parents[1] / "golden"
CASE = json.loads((GOLDEN / "transforms_a.json").read_text())
TENSORS = load_file(GOLDEN / "transforms_a.data.safetensors")
CENTRE_CROPS = [row for row in CASE["eval_rows"] if row["center_crop"]]


@pytest.mark.parametrize("row", CASE["pretrain_crop_rows"], ids=lambda row: row["key"])
def test_the_pre_training_crop_of_a_given_box(row):
    crop = Crop(row["top"], row["left"], row["height"], row["width"], row["flip"])
    pixels = cut(Image.fromarray(TENSORS[row["image"]]), crop, (row["img_size"],) * 2)
    np.testing.assert_array_equal(pixels, TENSORS[f"{row['key']}.u8"])


@pytest.mark.parametrize("row", CENTRE_CROPS, ids=lambda row: row["key"])
def test_the_evaluation_view(row):
    pixels = scoring_view(Image.fromarray(TENSORS[row["image"]]), row["img_size"], 224 / 256)
    np.testing.assert_array_equal(pixels, TENSORS[f"{row['key']}.u8"])
