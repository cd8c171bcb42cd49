"""How far features may lie apart: absolutely while they are small, relatively once they are large."""

import pytest
import torch

from simmim.released.reference import TOLERANCE, disagreement


def test_disagreement_is_absolute_below_one_and_relative_above():
    for scale, expected in ((0.1, 0.01), (1.0, 0.1), (100.0, 0.1)):
        reference = scale * torch.tensor([1.0, -0.5])
        assert disagreement(1.1 * reference, reference) == pytest.approx(expected, rel=1e-5)
    assert disagreement(torch.tensor([float("nan")]), torch.ones(1)) != disagreement(torch.ones(1), torch.ones(1)) == 0
    assert TOLERANCE == 1e-4
