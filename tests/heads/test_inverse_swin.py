import pytest
import torch
from torch import nn

from simmim.heads.inverse_swin_t import InverseSwinT
from simmim.layers.swin_blocks import PadFirstBlock

SETTINGS = {"embed_dim": 12, "depths": [1, 2, 3], "num_heads": [2, 3, 4], "window": 4}


def _head(stride=16, **settings):
    torch.manual_seed(0)
    return InverseSwinT(width=10, stride=stride, channels=3, **SETTINGS | settings)


def test_stages_run_from_the_coarsest_to_the_finest():
    head, sizes = _head(), []
    for module in head.modules():
        if isinstance(module, PadFirstBlock):
            module.register_forward_hook(lambda block, inputs, output: sizes.append(tuple(output.shape[1:])))
    assert head(torch.zeros(1, 10, 3, 5)).shape == (1, 3, 48, 80)
    assert sizes == [(3, 5, 48)] * 3 + [(6, 10, 24)] * 2 + [(12, 20, 12)]
    assert [stage[0].attn.num_heads for stage in head.stages] == [4, 3, 2]


@pytest.mark.parametrize(
    "stride, dims, last",
    [(16, [48, 24, 12], 4), (4, [48, 24, 12], 1), (6, [48, 24], 3), (2, [48, 24], 1), (5, [48], 5)],
)
def test_small_targets_use_fewer_stages(stride, dims, last):
    head = _head(stride)
    assert [stage[0].dim for stage in head.stages] == dims
    assert [split.factor for split in head.splits] == [2] * (len(dims) - 1) + [last]


@pytest.mark.parametrize("factor", [1, 2, 3])
def test_a_split_lays_its_channels_out_as_pixel_shuffle_does(factor):
    split = _head().splits[0].__class__(12, 6, factor)
    split.norm = nn.Identity()
    x = torch.randn(2, 3, 5, 12)
    expanded = split.expansion(x).unflatten(3, (factor**2, 6)).transpose(3, 4).flatten(3)  # channels before places
    expected = nn.functional.pixel_shuffle(expanded.permute(0, 3, 1, 2), factor)
    assert torch.equal(split(x), expected.permute(0, 2, 3, 1))


def test_maps_of_one_window_are_not_shifted():
    """A shift there would part cells that one window holds; along a longer axis it joins neighbouring windows."""
    block = _head().stages[0][1]
    assert block.shift_size == (2, 2)

    def reach(height, width):
        x = torch.randn(1, height, width, 48)
        changed = x.clone()
        changed[0, 0, 0] += torch.randn(48)
        return (block(changed) != block(x)).any(dim=3)[0]

    assert reach(4, 4).all() and reach(3, 2).all()
    rows, columns = reach(4, 12).nonzero(as_tuple=True)
    assert set(rows.tolist()) == {0, 1, 2, 3} and set(columns.tolist()) == {0, 1}
    block.shift_size = (0, 0)
    assert reach(4, 12)[:, :4].all()


def test_start_values_are_swins():
    torch.manual_seed(0)
    head = InverseSwinT(width=64, stride=8, channels=3, embed_dim=48, depths=[1, 1], num_heads=[3, 3])
    for layer in (head.stages[0][0].mlp.fc1, head.stages[1][0].attn.qkv, head.splits[0].expansion):
        assert layer.weight.std().item() == pytest.approx(0.02, rel=0.05)
        assert layer.bias.eq(0).all()


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"depths": [1, 2]}, "must name the same stages"),
        ({"num_heads": [5, 3, 4]}, r"head.num_heads, stage 1: 5 heads do not divide the 12 channels; .* 4 and 6"),
    ],
)
def test_impossible_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        _head(**settings)
