"""Architectures are told from tensors, and held against the config a file carries."""

import pytest
import torch
from official import case, encoder_section, tensors
from released_files import CASES, FINETUNED, finetuned, finetuned_state, pretrained, released_config
from safetensors.torch import save_file

from simmim.released.architecture import Architecture, recognise
from simmim.released.convert import convert

LEFT_TO_THE_ENCODER = {"layer_scale"}  # a start value only
OWN_WINDOWS = [6, 6, 6, 3]


def _state(name):
    if name in FINETUNED:
        return {key: value for key, value in finetuned_state(name).items() if not key.startswith(("head", "fc_norm"))}
    weights = tensors(name, "weights")
    bare = {key.removeprefix("encoder."): value for key, value in weights.items() if key.startswith("encoder.")}
    return {key: value for key, value in bare.items() if not key.startswith("fc_norm")}


@pytest.mark.parametrize("name", [*CASES, *FINETUNED])
def test_tensors_and_config_tell_everything(name):
    settings = {"patch_size": 4} | case(name)["settings"]
    found = recognise(_state(name), released_config(settings), None, None)
    expected = {key: value for key, value in encoder_section(settings).items() if key not in LEFT_TO_THE_ENCODER}
    assert found == Architecture(expected, settings["img_size"], 3)


@pytest.mark.parametrize("name", ["mim_vit_a_norm", "mim_vit_a_meanpool", "ft_vit_a"])
def test_a_vit_needs_no_config(name):
    settings = case(name)["settings"]
    assert recognise(_state(name), {}, None, None) == recognise(_state(name), released_config(settings), None, None)


def test_stored_tables_tell_size_and_windows():
    swin = _state("mim_swin_a") | {"layers.0.blocks.1.attn_mask": torch.zeros(16, 36, 36)}
    assert recognise(swin, {}, 999, 9).image_px == 96
    state = _state("mim_swinv2_a") | {"layers.0.blocks.1.attn_mask": torch.zeros(16, 64, 64)}
    stored = tensors("ft_swinv2_a")
    state |= {key.removeprefix("buffer."): value for key, value in stored.items() if key.startswith("buffer.")}
    found = recognise(state, {}, None, None)
    assert found.image_px == 128
    assert found.encoder["window"] == 8 and found.encoder["pretrained_windows"] == OWN_WINDOWS


def test_what_nothing_tells_is_asked_for():
    with pytest.raises(ValueError, match="does not tell its image_px; say it with --image-px"):
        recognise(_state("mim_swin_a"), {}, None, None)
    assert recognise(_state("mim_swin_a"), {}, 96, None).image_px == 96
    with pytest.raises(ValueError, match="does not tell its window; say it with --window"):
        recognise(_state("mim_swinv2_a"), {}, 96, None)
    assert recognise(_state("mim_swinv2_a"), {}, 96, 6).encoder["window"] == 6


def test_windows_of_the_pre_training_that_nothing_tells_are_said_to_be_assumed(tmp_path):
    def notes(name, **sizes):
        return "\n".join(convert(tmp_path / name, tmp_path / "out.safetensors", overwrite=True, **sizes))

    save_file(finetuned_state("ft_swinv2_a"), tmp_path / "bare.safetensors")
    assumed = "not told by the file: the windows it was pre-trained with"
    assert assumed in notes("bare.safetensors", image_px=128, window=8)
    finetuned(tmp_path / "whole.pth", "ft_swinv2_a")
    pretrained(tmp_path / "first.pth", "mim_swinv2_a", config=False)
    assert assumed not in notes("whole.pth") + notes("first.pth", image_px=96, window=6)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"img_size": 192}, "image_px: tensors 96, config 192"),
        ({"depth": 12}, "depth: tensors 3, config 12"),
        ({"num_heads": 6}, "num_heads: tensors 4, config 6"),
        ({"model": "swin"}, "name: tensors vit, config swin"),
        ({"use_shared_rel_pos_bias": False}, "shared_bias: tensors True, config False"),
        ({"use_mean_pooling": True}, "final_norm: tensors True, config False"),
    ],
)
def test_a_config_of_another_model_is_refused(change, message):
    settings = case("mim_vit_a_norm")["settings"] | change
    with pytest.raises(ValueError, match=f"contradicts the config it carries: .*{message}"):
        recognise(_state("mim_vit_a_norm"), released_config(settings), None, None)


def test_a_foreign_config_says_nothing():
    zero = {"MODEL": {"TYPE": "vit", "VIT": {"DEPTH": 99}}, "DATA": {"IMG_SIZE": 0}}
    silent = {"MODEL": {"TYPE": "vit", "VIT": [1]}, "DATA": "imagenet"}
    for config in (
        {"MODEL": 3},
        {"MODEL": {"TYPE": "resnet"}},
        {"lr": 1.0},
        {"MODEL": {"TYPE": ["vit"]}},
        silent,
        zero,
    ):
        assert recognise(_state("mim_vit_a_norm"), config, None, None).image_px == 96


def test_other_states_are_refused():
    with pytest.raises(ValueError, match=r"none of the released encoders.*begins with backbone\.norm3\.weight"):
        recognise({"backbone.norm3.weight": torch.zeros(3)}, {}, None, None)
    with pytest.raises(ValueError, match="it begins with nothing"):
        recognise({}, {}, None, None)
    state = _state("mim_swin_a")
    del state["patch_embed.proj.weight"]
    with pytest.raises(ValueError, match=r"cannot be told: 'patch_embed\.proj\.weight' is missing"):
        recognise(state, {}, 96, None)
    with pytest.raises(ValueError, match=r"'patch_embed\.proj\.weight' has shape \[3\]"):
        recognise(state | {"patch_embed.proj.weight": torch.zeros(3)}, {}, 96, None)
    with pytest.raises(ValueError, match="a name counts up to 1000000000"):
        recognise(_state("mim_swin_a") | {"layers.1000000000.blocks.0.x": torch.zeros(1)}, {}, 96, None)


@pytest.mark.parametrize(
    "header, message",
    [
        ({"encoder": {"name": "resnet"}}, "unknown encoder of the released code 'resnet'"),
        ({"image_px": [96, 128]}, "takes square images only, this encoder is for 96 x 128 px"),
        ({"encoder": {"name": "swin", "clamp_window": False}}, "this encoder has clamp_window=False"),
        ({"encoder": {"name": "swin_v2", "main_norm_every": 6}}, "this encoder has main_norm_every"),
        ({"encoder": {"name": "swin", "window": 7}}, "stage 1 has 24 x 24 tokens, which windows of 7 do not divide"),
        ({"image_px": [80, 80]}, "image_px 80 must be a multiple of 32"),
    ],
)
def test_what_the_released_code_cannot_have(header, message):
    sizes = {"embed_dim": 12, "depths": [2, 2, 2, 2], "num_heads": [2, 2, 2, 2]}
    whole = {"encoder": {"name": "swin"}, "image_px": [96, 96], "in_channels": 3} | header
    if whole["encoder"]["name"] != "resnet":
        whole["encoder"] = whole["encoder"] | sizes
    with pytest.raises(ValueError, match=message):
        Architecture.of(whole).build()
