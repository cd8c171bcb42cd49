"""Blocks of encoders compile as a whole: no part of one is left to Python."""

import pytest
import torch

from simmim import plugin
from simmim.layers.blocks import blocks_of
from simmim.plugin import Component

WINDOWS = {"patch_px": 4, "embed_dim": 8, "depths": [2, 2], "num_heads": [1, 2], "window": 4, "drop_path": 0.2}
ENCODERS = {
    "swin": {"name": "swin"} | WINDOWS,
    "swin of any size": {"name": "swin", "clamp_window": False} | WINDOWS,
    "swin_v2": {"name": "swin_v2", "main_norm_every": 2} | WINDOWS,
    "vit": {"name": "vit", "patch_px": 8, "embed_dim": 16, "depth": 2, "num_heads": 2},
    "timm": {"name": "timm", "model": "test_vit"},
}


@pytest.fixture(autouse=True)
def forgotten():
    yield
    torch._dynamo.reset()


@pytest.mark.parametrize("name", ENCODERS)
@torch.no_grad()
def test_blocks_are_whole_graphs(name):
    px = 64 if name == "timm" else 32
    encoder = plugin.build("encoders", Component(**ENCODERS[name]), image_px=(px, px), in_channels=3).eval()
    images, found = torch.rand(2, 3, px, px), list(blocks_of(encoder))
    plain = encoder(images)
    for block in found:
        block.forward = torch.compile(block.forward, dynamic=False, fullgraph=True, backend="eager")
    torch.testing.assert_close(encoder(images), plain)
    assert len(found) == encoder.depth
