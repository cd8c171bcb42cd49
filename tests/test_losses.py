import math

import pytest
import torch
from torch.nn import functional

from simmim import losses
from simmim.losses import BY_NAME, cross_entropy, l1, l2, smooth_l1


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


def _weight(*shape):
    weight = (torch.rand(*shape, generator=torch.Generator().manual_seed(3)) < 0.5).double()
    assert 0 < weight.sum() < weight.numel()
    return weight


@pytest.mark.parametrize("loss, reference", [(l2, functional.mse_loss), (smooth_l1, functional.smooth_l1_loss)])
def test_l2_and_smooth_l1_are_torch_s_on_weighted_cells(loss, reference):
    generator = torch.Generator().manual_seed(0)
    prediction, target = (3 * torch.randn(2, 3, 4, 5, generator=generator, dtype=torch.float64) for _ in range(2))
    weight = _weight(2, 1, 4, 5)
    counted = weight.bool().expand_as(target)
    expected = reference(prediction[counted], target[counted])
    torch.testing.assert_close(loss(prediction, target, weight), expected)
    assert torch.autograd.gradcheck(lambda p: loss(p, target, weight), prediction.requires_grad_())


def test_cross_entropy_equals_a_loop_over_cells_and_channels():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 3 * 4, 3, 2, generator=generator, dtype=torch.float64)
    classes = torch.randint(4, (2, 3, 3, 2), generator=generator)
    weight = _weight(2, 1, 3, 2)
    total, count = 0.0, 0
    for b, c, h, w in torch.cartesian_prod(*map(torch.arange, classes.shape)).tolist():
        if weight[b, 0, h, w]:
            own = [math.exp(value) for value in logits[b, 4 * c : 4 * c + 4, h, w].tolist()]
            total, count = total - math.log(own[classes[b, c, h, w]] / sum(own)), count + 1
    assert cross_entropy(logits, classes, weight).item() == pytest.approx(total / count, rel=1e-12)


def test_cross_entropy_in_parts_is_the_same(monkeypatch):
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(5, 6, 4, 4, generator=generator).requires_grad_()
    classes, weight = torch.randint(3, (5, 2, 4, 4), generator=generator), _weight(5, 1, 4, 4)
    whole = cross_entropy(logits, classes, weight)
    (gradient,) = torch.autograd.grad(whole, logits)
    monkeypatch.setattr(losses, "_LOGITS_AT_ONCE", 2 * 6 * 16)
    parts = cross_entropy(logits, classes, weight)
    torch.testing.assert_close(parts, whole)
    torch.testing.assert_close(torch.autograd.grad(parts, logits)[0], gradient)


@pytest.mark.parametrize("name", BY_NAME)
def test_no_loss_is_rounded_to_half_precision_or_disturbed_by_cells_without_weight(name):
    classes = name == "cross_entropy"
    target = torch.randint(4, (2, 1, 4, 4)) if classes else torch.randn(2, 4, 4, 4)
    prediction, weight = torch.randn(2, 4, 4, 4).bfloat16(), _weight(2, 1, 4, 4).float()
    loss = BY_NAME[name](prediction, target, weight)
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, BY_NAME[name](prediction.float(), target, weight))
    noisy = prediction + 100 * torch.randn_like(prediction) * (1 - weight).bfloat16()
    assert torch.equal(BY_NAME[name](noisy, target, weight), loss)
