"""What every head must do, whatever it is."""

import pytest
import torch
from heads.small import SMALL
from helpers.contracts import missing, small

from simmim import plugin

HEADS = plugin.names("heads")


def _head(name, width=24, stride=8, channels=3, seed=0):
    torch.manual_seed(seed)
    return small("heads", name, SMALL, width=width, stride=stride, channels=channels)


@pytest.mark.parametrize("name", HEADS)
def test_it_has_the_members_of_the_contract(name):
    assert not missing("heads", _head(name))


@pytest.mark.parametrize("name", HEADS)
@pytest.mark.parametrize("stride", [1, 2, 3, 4, 8, 16, 24, 32])
def test_shape_for_every_stride(name, stride):
    head = _head(name, stride=stride)
    assert head(torch.randn(2, 24, 3, 2)).shape == (2, 3, 3 * stride, 2 * stride)


@pytest.mark.parametrize("name", HEADS)
@pytest.mark.parametrize("width, channels", [(24, 1), (10, 3), (7, 512)])
@pytest.mark.parametrize("height, columns", [(1, 1), (2, 2), (6, 4), (3, 7)])
def test_shape_for_every_width_channels_and_map(name, width, channels, height, columns):
    head = _head(name, width=width, channels=channels)
    prediction = head(torch.randn(2, width, height, columns))
    assert prediction.shape == (2, channels, 8 * height, 8 * columns)
    assert prediction.isfinite().all()


@pytest.mark.parametrize("name", HEADS)
def test_gradients_reach_every_parameter_and_every_feature(name):
    head = _head(name)
    for parameter in head.parameters():  # away from zeros that would hide a path
        parameter.data += 0.1 * torch.randn_like(parameter)
    features = torch.randn(2, 24, 5, 6, requires_grad=True)
    head(features).square().sum().backward()
    for key, parameter in head.named_parameters():
        assert parameter.grad.isfinite().all() and parameter.grad.any(), key
    assert features.grad.isfinite().all() and (features.grad != 0).all()


@pytest.mark.parametrize("name", HEADS)
@pytest.mark.parametrize("row, column", [(0, 3), (4, 0), (2, 5)])
def test_a_feature_acts_most_on_the_pixels_it_stands_for(name, row, column):
    head, features = _head(name), torch.randn(1, 24, 5, 6)
    changed = features.clone()
    changed[:, :, row, column] += 1
    difference = (head(changed) - head(features)).abs().sum(1)[0]  # [H, W]
    cells = difference.unflatten(0, (5, 8)).unflatten(2, (6, 8)).sum((1, 3))
    assert cells.argmax() == 6 * row + column
    assert (difference[8 * row : 8 * row + 8, 8 * column : 8 * column + 8] > 0).all()


@pytest.mark.parametrize("name", HEADS)
def test_images_of_a_batch_do_not_meet(name):
    head, features = _head(name), torch.randn(3, 24, 5, 6)
    changed = features.clone()
    changed[1] += 1
    assert torch.equal(head(changed)[[0, 2]], head(features)[[0, 2]])


@pytest.mark.parametrize("name", HEADS)
def test_the_generator_decides_the_start_values(name):
    one, same, other = (_head(name, seed=seed).state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(value, same[key]) for key, value in one.items())
    assert any(not torch.equal(value, other[key]) for key, value in one.items())
