"""The MLP head: what makes it more than a linear layer."""

import torch
from torch.nn import functional

from simmim.heads.mlp import MLP


def test_it_is_two_linear_layers_with_gelu_between():
    head, features = MLP(width=6, stride=2, channels=3), torch.randn(2, 6, 4, 5)
    hidden = functional.gelu(functional.conv2d(features, head.hidden.weight, head.hidden.bias))
    cells = functional.conv2d(hidden, head.projection.weight, head.projection.bias)
    torch.testing.assert_close(head(features), functional.pixel_shuffle(cells, 2))
    assert head.hidden.weight.shape == (6, 6, 1, 1)
