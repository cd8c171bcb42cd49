"""Encoder files rebuild their encoder at any size and window, with the settings that must outlive a change of these."""

import pytest
import torch

from simmim import plugin
from simmim.plugin import Component
from simmim.storage.encoder_file import load_encoder, save_encoder, start_from

SWIN_V2 = {"name": "swin_v2", "embed_dim": 12, "depths": [1, 1], "num_heads": [1, 1], "window": 4}
HEADER = {"encoder": SWIN_V2, "image_px": [32, 48], "in_channels": 3, "mean": [0.5] * 3}


def build(image_px=(32, 48), **changes):
    torch.manual_seed(0)
    return plugin.build("encoders", Component(**SWIN_V2 | changes), image_px=image_px, in_channels=3)


@pytest.fixture
def saved(tmp_path):
    save_encoder(tmp_path / "a.safetensors", build(), HEADER)
    return tmp_path / "a.safetensors"


def test_it_comes_back_as_it_was(saved):
    encoder, header = load_encoder(saved)
    assert encoder.image_px == (32, 48) and header["image_px"] == [32, 48] and header["mean"] == [0.5] * 3
    images = torch.randn(1, 3, 32, 48)
    assert torch.equal(encoder(images), build()(images))


def test_at_another_size_and_window_it_keeps_what_its_distances_were_measured_by(saved):
    encoder, header = load_encoder(saved, (64, 32), window=8)
    assert encoder.image_px == (64, 32) and header["image_px"] == [64, 32]
    assert header["encoder"]["window"] == 8
    assert encoder.kept_settings == build().kept_settings != build((64, 32), window=8).kept_settings
    assert header["encoder"].items() >= encoder.kept_settings.items()
    expected = build((64, 32), window=8, **build().kept_settings)
    images = torch.randn(1, 3, 64, 32)
    assert torch.equal(encoder(images), expected(images))


def test_position_tables_are_fitted_from_the_saved_size(tmp_path):
    section = {"name": "vit", "patch_px": 8, "embed_dim": 12, "depth": 1, "num_heads": 2}
    encoder = plugin.build("encoders", Component(**section), image_px=(32, 48), in_channels=3)
    for name, table in encoder.named_parameters():
        if name.endswith("relative_position_bias_table"):
            torch.nn.init.normal_(table)
    header = {"encoder": section, "image_px": [32, 48], "in_channels": 3}
    save_encoder(tmp_path / "a.safetensors", encoder, header)
    fitted, _ = load_encoder(tmp_path / "a.safetensors", (64, 64))
    other = plugin.build("encoders", Component(**section), image_px=(64, 64), in_channels=3)
    assert start_from(other, tmp_path / "a.safetensors") == header
    for started in (fitted, other):
        expected = started.adapt(encoder.state_dict(), (32, 48))
        assert all(torch.equal(value, expected[name]) for name, value in started.state_dict().items())


def test_a_start_from_other_distances_is_refused(saved):
    encoder = build((64, 32), window=8)
    with pytest.raises(ValueError, match=r"a\.safetensors was trained with pretrained_windows .*; set encoder\.pretr"):
        start_from(encoder, saved)
    start_from(build((64, 32), window=8, **build().kept_settings), saved)


def test_only_settings_of_transfer_may_change(saved):
    with pytest.raises(ValueError, match="unknown transfer setting of encoder=swin_v2 'windw'; did you mean 'window'"):
        load_encoder(saved, windw=8)


@pytest.mark.parametrize("key", ["encoder", "image_px", "in_channels"])
def test_a_header_that_cannot_rebuild_it_is_our_fault(tmp_path, key):
    with pytest.raises(AssertionError, match=f"header lacks \\['{key}'\\]"):
        save_encoder(tmp_path / "a.safetensors", build(), {name: HEADER[name] for name in HEADER if name != key})


def test_another_architecture_does_not_fit(saved):
    with pytest.raises(ValueError, match=r"a\.safetensors does not fit the encoder it is to fill"):
        start_from(build(embed_dim=24), saved)


def test_a_table_of_another_grid_is_refused_with_its_file(tmp_path):
    small, large = ({"name": "vit", "patch_px": px, "embed_dim": 24, "depth": 1, "num_heads": 2} for px in (8, 16))
    saved, other = (
        plugin.build("encoders", Component(**each), image_px=px, in_channels=3)
        for each, px in ((small, (64, 64)), (large, (64, 96)))
    )
    save_encoder(tmp_path / "a.safetensors", saved, {"encoder": small, "image_px": (32, 32), "in_channels": 3})
    with pytest.raises(ValueError, match=r"a\.safetensors does not fit the encoder it is to fill: a position table"):
        start_from(other, tmp_path / "a.safetensors")
