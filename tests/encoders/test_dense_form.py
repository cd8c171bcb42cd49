"""Both Swins in their dense form, at the inputs and windows of detection and segmentation and at odd ones.

Where the window does not divide the tokens, padding before or after the cyclic shift makes the difference (timm's order
is wrong there): at 1024 px with windows 7 and 14, at 512 px with window 20, at 333 x 500 px.
"""

import pytest
import torch
from independent import independent_maps
from timm.models.swin_transformer import SwinTransformerBlock
from timm.models.swin_transformer_v2 import SwinTransformerV2Block

from simmim.encoders.swin import Swin
from simmim.encoders.swin_v2 import SwinV2

SETTINGS = {"embed_dim": 8, "depths": [2, 2, 2, 2], "num_heads": [1, 1, 2, 2], "clamp_window": False}
ENCODERS = pytest.mark.parametrize(
    "encoder_class, stock_block",
    [(Swin, SwinTransformerBlock), (SwinV2, SwinTransformerV2Block)],
    ids=["swin", "swin_v2"],
)


def _randomised(encoder_class, window):
    torch.manual_seed(0)
    encoder = encoder_class(image_px=(224, 224), window=window, **SETTINGS).eval()
    for parameter in encoder.parameters():  # biases and tables start at zero or tiny, SwinV2's branches silent
        parameter.data += 0.2 * torch.randn_like(parameter)
    return encoder


@torch.no_grad()
@pytest.mark.parametrize(
    "height, width, window",
    [(1024, 1024, 7), (1024, 1024, 14), (512, 512, 20), (333, 500, 7), (333, 500, 14), (201, 131, 12), (448, 448, 7)],
)
@ENCODERS
def test_every_stage_equals_an_independent_one(encoder_class, stock_block, height, width, window):
    encoder = _randomised(encoder_class, window)
    images = torch.randn(1, 3, height, width)
    maps = zip(encoder.feature_maps(images), independent_maps(encoder, window, images), strict=True)
    for stage, (ours, theirs) in enumerate(maps, start=1):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-4, msg=lambda text, at=stage: f"stage {at}: {text}")
        assert 0.5 < ours.std() < 50


@torch.no_grad()
@pytest.mark.parametrize("height, width, agrees", [(333, 500, False), (256, 256, False), (448, 448, True)])
@ENCODERS
def test_timms_own_order_of_padding_would_fail_that(encoder_class, stock_block, height, width, agrees):
    encoder = _randomised(encoder_class, 7)
    images = torch.randn(1, 3, height, width)
    expected = encoder.feature_maps(images)
    for stage in encoder.layers:
        for block in stage.blocks:
            block.__class__, block.dynamic_mask = stock_block, True
    apart = [(ours - stock).abs().max() for ours, stock in zip(expected, encoder.feature_maps(images))]
    assert max(apart) < 1e-4 if agrees else max(apart) > 1e-2


@ENCODERS
def test_pixels_beyond_the_token_grid_are_padded(encoder_class, stock_block):
    encoder = _randomised(encoder_class, 7)
    images = torch.randn(1, 3, 101, 67)
    padded = torch.nn.functional.pad(images, (0, 1, 0, 3))
    assert all(torch.equal(*pair) for pair in zip(encoder.feature_maps(images), encoder.feature_maps(padded)))
