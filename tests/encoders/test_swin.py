import re

import pytest
import torch
from timm.models.swin_transformer import SwinTransformerBlock
from torchvision.models.swin_transformer import SwinTransformer

from simmim.encoders.swin import Swin

SETTINGS = {"embed_dim": 12, "depths": [2, 2, 2, 2], "num_heads": [2, 2, 4, 4]}


def _independent(encoder, window):
    """torchvision's Swin, which pads before the shift, with the same weights."""
    other = SwinTransformer([4, 4], 12, SETTINGS["depths"], SETTINGS["num_heads"], [window, window], 4.0, 0.0, 0.0, 0.0)
    state = {}
    for name, value in encoder.state_dict().items():
        name = re.sub(r"^patch_embed\.proj", "features.0.0", name)
        name = re.sub(r"^patch_embed\.norm", "features.0.2", name)
        name = re.sub(r"^layers\.(\d)\.downsample", lambda found: f"features.{2 * int(found[1])}", name)
        name = re.sub(r"^layers\.(\d)\.blocks", lambda found: f"features.{2 * int(found[1]) + 1}", name)
        state[name.replace("mlp.fc1", "mlp.0").replace("mlp.fc2", "mlp.3")] = value
    state.pop("mask_token")
    missing, unexpected = other.load_state_dict(state, strict=False)
    assert not unexpected
    assert all(name.startswith("head.") or name.endswith("relative_position_index") for name in missing)
    return other.eval()


@pytest.fixture
def encoder():
    torch.manual_seed(0)
    encoder = Swin(image_px=(256, 256), window=7, clamp_window=False, **SETTINGS).eval()
    for parameter in encoder.parameters():
        parameter.data += 0.2 * torch.randn_like(parameter)
    return encoder


@pytest.mark.parametrize("height, width", [(448, 228), (256, 256), (232, 300)])
def test_dense_maps_equal_an_independent_swin(encoder, height, width):
    # Every stage has more than one window per axis: where it has one, torchvision drops the shift, the published
    # dense Swin does not.
    images = torch.randn(1, 3, height, width)
    x, expected = images, []
    with torch.no_grad():
        for index, part in enumerate(_independent(encoder, 7).features):
            x = part(x)
            if index % 2:
                expected.append(x.permute(0, 3, 1, 2))
        got = encoder.feature_maps(images)
    for ours, theirs in zip(got, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-4)


def test_timms_own_order_of_padding_would_fail_that(encoder):
    images = torch.randn(1, 3, 256, 256)
    expected = encoder.feature_maps(images)
    for module in encoder.modules():
        if isinstance(module, SwinTransformerBlock):
            module.__class__, module.dynamic_mask = SwinTransformerBlock, True
    assert (encoder.feature_maps(images)[-1] - expected[-1]).abs().max() > 1e-2


def test_pixels_beyond_the_token_grid_are_padded(encoder):
    images = torch.randn(1, 3, 101, 67)
    padded = torch.nn.functional.pad(images, (0, 1, 0, 3))
    assert all(torch.equal(*pair) for pair in zip(encoder.feature_maps(images), encoder.feature_maps(padded)))


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
