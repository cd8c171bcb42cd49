import pytest
import torch
from torch import nn

from simmim.encoders.swin_v2 import SwinV2
from simmim.storage.encoder_file import load_encoder, save_encoder, start_from

SETTINGS = {"embed_dim": 12, "depths": [2, 2, 2, 2], "num_heads": [2, 2, 4, 4]}
SECTION = {"name": "swin_v2", "window": 6} | SETTINGS


def _randomised(**settings):
    torch.manual_seed(0)
    encoder = SwinV2(**SETTINGS | settings).eval()
    for parameter in encoder.parameters():
        parameter.data += 0.2 * torch.randn_like(parameter)
    return encoder


def _save(path, encoder, section, image_px):
    header = {"image_px": list(image_px), "in_channels": 3, "mean": [0.5] * 3, "std": [0.2] * 3}
    save_encoder(path, encoder, header | {"encoder": section})


def test_another_window_keeps_the_scale_of_distances(tmp_path):
    """From 96 px and window 6 (3 in the last stage) to window 8, and on to the dense form: always 6, 6, 6 and 3."""
    encoder = _randomised(image_px=(96, 96), window=6)
    _save(tmp_path / "small", encoder, SECTION, (96, 96))
    larger, header = load_encoder(tmp_path / "small", (128, 128), window=8)
    assert larger.kept_settings == {"pretrained_windows": [6, 6, 6, 3]}
    first, last = (larger.layers[stage].blocks[0].attn.relative_coords_table for stage in (0, 3))
    assert first.max() == pytest.approx(torch.tensor(8 * 7 / 5 + 1).log2().item() / 3, rel=1e-6)
    assert last.max() == pytest.approx(torch.tensor(8 * 3 / 2 + 1).log2().item() / 3, rel=1e-6)
    chain = header["encoder"] | {"window": 8, "pretrained_windows": [6, 6, 6, 3]}
    _save(tmp_path / "larger", larger, chain, (128, 128))
    dense, _ = load_encoder(tmp_path / "larger", (256, 256), window=16, clamp_window=False)
    assert dense.kept_settings == {"pretrained_windows": [6, 6, 6, 3]}
    assert dense(torch.zeros(1, 3, 200, 130)).isfinite().all()


@torch.no_grad()
@pytest.mark.parametrize("window", [7, 14, 16, 20])
def test_equal_distances_have_equal_bias_in_another_window(tmp_path, window):
    """That is what log-spaced distances are for; measured by the new window they would all change."""
    section = SECTION | {"window": 12}
    _save(tmp_path / "encoder", _randomised(image_px=(192, 192), window=12), section, (192, 192))
    small, _ = load_encoder(tmp_path / "encoder")
    large, _ = load_encoder(tmp_path / "encoder", (512, 512), window=window, clamp_window=False)
    for before, after, side in zip(small.layers, large.layers, (12, 12, 12, 6)):
        shared = min(side, window)
        biases = []
        for stage, own in ((before, side), (after, window)):
            bias = stage.blocks[0].attn._position_bias()  # [heads, n, n]
            biases.append(bias[:, 0].unflatten(1, (own, own))[:, :shared, :shared])  # seen from the window's corner
        torch.testing.assert_close(*biases, rtol=0, atol=1e-5)
        assert biases[0].std() > 1e-2


def test_a_start_with_another_scale_of_distances_is_refused(tmp_path):
    _save(tmp_path / "encoder", _randomised(image_px=(96, 96), window=6), SECTION, (96, 96))
    start_from(_randomised(image_px=(128, 128), window=8, pretrained_windows=[6, 6, 6, 3]), tmp_path / "encoder")
    with pytest.raises(ValueError, match=r"pretrained_windows \[6, 6, 6, 3\], .* has \[8, 8, 8, 4\]"):
        start_from(_randomised(image_px=(128, 128), window=8), tmp_path / "encoder")


def test_norms_on_the_main_branch():
    encoder = _randomised(image_px=(64, 64), window=4, depths=[1, 4, 2], num_heads=[2, 2, 4], main_norm_every=2)
    normed = [name for name, _ in encoder.named_parameters() if name.endswith("norm3.weight")]
    assert normed == [f"layers.{place}.norm3.weight" for place in ("1.blocks.1", "1.blocks.3", "2.blocks.1")]
    images = torch.randn(2, 3, 64, 64)
    block, seen = encoder.layers[1].blocks[1], []
    handle = block.register_forward_hook(lambda *call: seen.append(call[2]))
    encoder(images)
    handle.remove()
    norm, block.norm3 = block.norm3, nn.Identity()
    block.register_forward_hook(lambda *call: seen.append(call[2]))
    encoder(images)
    assert torch.equal(seen[0], norm(seen[1])) and not torch.equal(*seen)


def test_start_values():
    torch.manual_seed(0)
    encoder = SwinV2(image_px=(64, 64), embed_dim=48, depths=[2, 2], num_heads=[2, 4], window=4, main_norm_every=2)
    block = encoder.layers[0].blocks[1]
    assert block.mlp.fc1.weight.std().item() == pytest.approx(0.02, rel=0.05)
    assert block.attn.cpb_mlp[0].weight.std().item() == pytest.approx(0.02, rel=0.1)
    assert block.attn.logit_scale.exp().flatten().tolist() == pytest.approx([10, 10])
    assert block.norm1.weight.eq(0).all() and block.norm2.weight.eq(0).all()  # every branch starts silent
    assert block.norm3.weight.eq(1).all() and encoder.norm.weight.eq(1).all()
    assert encoder.mask_token.std().item() == pytest.approx(0.02, rel=0.5)


def test_drop_path_grows_linearly_over_all_blocks():
    encoder = SwinV2(image_px=(128, 128), window=4, drop_path=0.7, **SETTINGS)
    blocks = [block for stage in encoder.layers for block in stage.blocks]
    rates = [getattr(block.drop_path1, "drop_prob", 0.0) for block in blocks]
    assert rates == pytest.approx([0.1 * index for index in range(8)])


def test_windows_of_the_pretraining_must_be_given_for_every_stage():
    with pytest.raises(ValueError, match=r"pretrained_windows \[12\] must be empty or name a window for each of the 4"):
        SwinV2(image_px=(192, 192), pretrained_windows=[12])
