import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode

from simmim.encoders.swin import Swin
from simmim.layers.swin_blocks import shift_mask

SETTINGS = {"embed_dim": 12, "depths": [2, 2, 2, 2], "num_heads": [2, 2, 4, 4]}


@pytest.fixture
def encoder():
    torch.manual_seed(0)
    encoder = Swin(image_px=(256, 256), window=7, clamp_window=False, **SETTINGS).eval()
    for parameter in encoder.parameters():
        parameter.data += 0.2 * torch.randn_like(parameter)
    return encoder


@pytest.mark.parametrize(
    "image_px, window, expected",
    [
        ((192, 192), 6, [(6, 3), (6, 3), (6, 3), (6, 0)]),
        ((192, 192), 12, [(12, 6), (12, 6), (12, 0), (6, 0)]),
        ((224, 224), 14, [(14, 7), (14, 7), (14, 0), (7, 0)]),
        ((64, 128), 6, [(6, 3), (6, 3), (4, 0), (2, 0)]),
    ],
)
def test_released_rule_for_small_stages(image_px, window, expected):
    encoder = Swin(image_px=image_px, window=window, **SETTINGS)
    assert [(stage.blocks[1].window_size[0], stage.blocks[1].shift_size[0]) for stage in encoder.layers] == expected
    assert all(stage.blocks[0].shift_size == (0, 0) for stage in encoder.layers)


def test_dense_form_keeps_full_shifted_windows():
    encoder = Swin(image_px=(64, 64), window=7, clamp_window=False, **SETTINGS)
    assert {stage.blocks[1].window_size for stage in encoder.layers} == {(7, 7)}
    assert {stage.blocks[1].shift_size for stage in encoder.layers} == {(3, 3)}


def test_clamped_windows_refuse_another_input_size():
    encoder = Swin(image_px=(64, 64), window=7, **SETTINGS)
    with pytest.raises(ValueError, match=r"64 x 64 px, the input has 96 x 64 px.*clamp_window=False"):
        encoder.feature_maps(torch.zeros(1, 3, 96, 64))


def test_mask_made_in_inference_serves_training(encoder):
    images = torch.randn(1, 3, 116, 116)  # a size no other test uses
    with torch.inference_mode():
        encoder(images)
    encoder(images).sum().backward()


def test_mask_made_without_content_serves_nothing_else():
    """As when a plan has counted a network before a training begins in the same process, or after it."""
    early, late = ((2 * n, 2 * n, (n, n), (n // 2, n // 2), torch.float32, torch.device("cpu")) for n in (5, 7))
    made = shift_mask(*early)
    with FakeTensorMode():
        assert all(isinstance(shift_mask(*each), FakeTensor) for each in (early, late))
    assert shift_mask(*early) is made
    assert not isinstance(shift_mask(*late), FakeTensor)


def test_start_values():
    torch.manual_seed(0)
    encoder = Swin(image_px=(64, 64), embed_dim=48, depths=[2, 2], num_heads=[2, 4], window=4)
    block = encoder.layers[0].blocks[0]
    assert block.mlp.fc1.weight.std().item() == pytest.approx(0.02, rel=0.05)
    assert block.attn.relative_position_bias_table.std().item() == pytest.approx(0.02, rel=0.3)
    assert block.mlp.fc1.bias.eq(0).all() and block.norm1.weight.eq(1).all()
    assert encoder.mask_token.std().item() == pytest.approx(0.02, rel=0.5)
    bound = 1 / (3 * 4 * 4) ** 0.5  # PyTorch's default for convolutions
    assert 0.9 * bound < encoder.patch_embed.proj.weight.abs().max() <= bound


def test_stages_must_agree():
    with pytest.raises(ValueError, match="must name the same stages"):
        Swin(image_px=(64, 64), depths=[2, 2], num_heads=[2])


def test_drop_path_grows_linearly_over_all_blocks():
    encoder = Swin(image_px=(128, 128), window=4, drop_path=0.7, **SETTINGS)
    blocks = [block for stage in encoder.layers for block in stage.blocks]
    rates = [getattr(block.drop_path1, "drop_prob", 0.0) for block in blocks]
    assert rates == pytest.approx([0.1 * index for index in range(8)])
