import pytest
import torch

from simmim.losses import l1


def test_l1_averages_over_weighted_pixels_and_channels():
    prediction, target = torch.zeros(2, 3, 4, 4), torch.randn(2, 3, 4, 4)
    weight = torch.zeros(2, 1, 4, 4)
    weight[0, 0, :2] = 1
    expected = target[0, :, :2].abs().mean()
    torch.testing.assert_close(l1(prediction, target, weight), expected)
    torch.testing.assert_close(l1(prediction, target, torch.ones_like(weight)), target.abs().mean())


def test_pixels_without_weight_do_not_count():
    target = torch.randn(1, 2, 4, 4)
    weight = (torch.rand(1, 1, 4, 4) < 0.5).float()
    weight[0, 0, 0, 0] = 1
    noise = 100 * torch.randn_like(target) * (1 - weight)
    assert l1(target + 1 + noise, target, weight).item() == pytest.approx(1, rel=1e-5)


def test_the_error_is_not_rounded_to_half_precision():
    target = torch.full((1, 1, 2, 2), 1.001)
    prediction = torch.ones(1, 1, 2, 2, dtype=torch.bfloat16)
    loss = l1(prediction, target, torch.ones(1, 1, 2, 2))
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(0.001, rel=1e-3)
