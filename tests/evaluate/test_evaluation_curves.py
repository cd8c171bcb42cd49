"""The first ten steps and the score of every task are what they were: the alarm for `NUMERICS["evaluate"]`.

A change that is meant is recorded by a new NUMERICS and `golden_curves.py`. Tolerances: another CPU rounds float32
otherwise. Two CPU capabilities, and encoders whose weights were changed at random by 3e-7 of their size, agree to 5e-7
in the first three losses. Classifiers then stay within 1e-6 and keep every accuracy: no image is near a tie. Dense
training amplifies: batch statistics of two images, or a region that changes sides, make up to 5e-3 of a loss and 2.6
points.
"""

import json
import math

import pytest
from golden_curves import FOLDER, measured

GOLDEN = {path.stem.removeprefix("evaluate_"): path for path in sorted(FOLDER.glob("evaluate_*.json"))}
EXACT_STEPS = 3


@pytest.mark.parametrize("task", GOLDEN)
def test_losses_and_scores(task, tmp_path):
    golden, found = json.loads(GOLDEN[task].read_text()), measured(task, tmp_path)
    tolerance, losses = golden["tolerance"], golden["losses"]
    assert len(found["losses"]) == len(losses) and found["scores"].keys() == golden["scores"].keys()
    assert found["losses"][:EXACT_STEPS] == pytest.approx(losses[:EXACT_STEPS], rel=tolerance["first_losses"])
    assert found["losses"] == pytest.approx(losses, rel=tolerance["later_losses"])
    for name, value in golden["scores"].items():
        assert found["scores"][name] == pytest.approx(value, abs=tolerance["scores"], nan_ok=True), name
    assert losses == [] or not math.isclose(losses[0], losses[-1], rel_tol=1e-3)
