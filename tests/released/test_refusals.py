"""What does not fit is refused with a list, and then nothing is written."""

import pytest
import torch
from official import case, tensors
from released_files import CASES, pretrained, released_config, write
from safetensors.torch import save_file

from simmim import plugin
from simmim.__main__ import main
from simmim.plugin import Component
from simmim.released import convert as converting
from simmim.released.convert import convert
from simmim.storage.encoder_file import load_encoder, save_encoder
from simmim.storage.files import sha256_file


def _changed(state):
    """Every way in which a state can fail to fit, in one."""
    del state["encoder.layers.1.blocks.0.norm1.weight"]
    state["encoder.layers.2.blocks.1.mlp.fc2.weight"] = torch.zeros(48, 100)
    state["encoder.layers.0.blocks.0.attn.proj.bias"] = torch.zeros(12, dtype=torch.float16)
    state["encoder.absolute_pos_embed"] = torch.zeros(1, 576, 12)
    state["encoder.layers.3.blocks.1.attn.relative_position_bias_table"] = torch.zeros(121, 8)
    state["encoder.layers.3.blocks.1.attn_mask"] = torch.zeros(1, 9, 9)
    state["encoder.layers.0.blocks.0.attn.relative_position_index"] = torch.zeros(36, 36, dtype=torch.long)
    state["norm.weight"] = torch.zeros(96)
    return state


def test_what_does_not_fit_is_listed(tmp_path, capsys):
    state = _changed(tensors("mim_swin_a", "weights"))
    source = pretrained(tmp_path / "a.pth", "mim_swin_a", model=state)
    assert main(["convert", "--from", str(source), "--to", str(tmp_path / "out.safetensors")]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == f"simmim: error: {source}: 8 entries do not fit:"
    assert set(lines[1:]) == {
        "  missing: layers.1.blocks.0.norm1.weight float32 [24]",
        "  unlike: layers.2.blocks.1.mlp.fc2.weight is float32 [48, 100], expected float32 [48, 192]",
        "  unlike: layers.0.blocks.0.attn.proj.bias is float16 [12], expected float32 [12]",
        "  unlike: layers.3.blocks.1.attn.relative_position_bias_table is float32 [121, 8], expected float32 [25, 8]",
        "  unlike: layers.0.blocks.0.attn.relative_position_index holds other values than window and input size give",
        "  unexpected: absolute_pos_embed float32 [1, 576, 12]",
        "  unexpected: layers.3.blocks.1.attn_mask float32 [1, 9, 9]",
        "  unexpected: norm.weight (without 'encoder.') float32 [96]",
    }
    assert not (tmp_path / "out.safetensors").exists()


@pytest.mark.parametrize("key", ["encoder.mask_token", "encoder.cls_token", "encoder.blocks.1.gamma_1"])
def test_loading_is_strict(tmp_path, key):
    state = tensors("mim_vit_a_norm", "weights")
    del state[key]
    source = pretrained(tmp_path / "a.pth", "mim_vit_a_norm", model=state)
    with pytest.raises(ValueError, match=f"1 entries do not fit:\n  missing: {key.removeprefix('encoder.')}"):
        convert(source, tmp_path / "out.safetensors")


def test_a_size_that_the_released_code_cannot_have(tmp_path):
    source = pretrained(tmp_path / "a.pth", "mim_swin_a", config=False)
    with pytest.raises(ValueError, match=r"a\.pth: at 128 px stage 1 has 32 x 32 tokens, which windows of 6 do not"):
        convert(source, tmp_path / "out.safetensors", image_px=128)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("ending", [".safetensors", ".pth"])
def test_nothing_is_written_when_features_differ(tmp_path, monkeypatch, name, ending):
    source = pretrained(tmp_path / "a.pth", name)
    convert(source, tmp_path / "good.safetensors")

    def nudged(encoder, state):
        load_released(encoder, state)
        encoder.patch_embed.proj.bias.data[0] += 0.05

    load_released = converting.load_released
    monkeypatch.setattr(converting, "load_released", nudged)
    with pytest.raises(ValueError, match=r"features differ from the released layout's by .*, allowed is 1e-04"):
        convert(source, tmp_path / f"out{ending}")
    assert not (tmp_path / f"out{ending}").exists()


def test_weights_that_are_not_numbers_are_refused(tmp_path):
    state = tensors("mim_vit_a_norm", "weights")
    state["encoder.blocks.2.mlp.fc2.weight"][0, 0] = float("nan")
    with pytest.raises(ValueError, match="features differ from the released layout's by nan"):
        convert(pretrained(tmp_path / "a.pth", "mim_vit_a_norm", model=state), tmp_path / "out.safetensors")


def test_wrong_tables_in_the_released_layout_are_noticed(tmp_path, monkeypatch):
    convert(pretrained(tmp_path / "a.pth", "mim_swin_a"), tmp_path / "encoder.safetensors")

    def swapped(encoder):
        state = released_state(encoder)
        first, second = (f"layers.0.blocks.{block}.attn.relative_position_bias_table" for block in (0, 1))
        return state | {first: state[second], second: state[first]}

    released_state = converting.released_state
    monkeypatch.setattr(converting, "released_state", swapped)
    with pytest.raises(ValueError, match="features differ"):
        convert(tmp_path / "encoder.safetensors", tmp_path / "out.pth")
    assert not (tmp_path / "out.pth").exists()


def test_what_exists_is_kept_unless_told(tmp_path, capsys):
    source, target = pretrained(tmp_path / "a.pth", "mim_vit_a_norm"), tmp_path / "encoder.safetensors"
    target.write_text("precious")
    command = ["convert", "--from", str(source), "--to", str(target)]
    assert main(command) == 2
    assert "exists; --overwrite replaces it" in capsys.readouterr().err
    assert target.read_text() == "precious"
    assert main([*command, "--overwrite"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == f"wrote {target}"
    load_encoder(target)


def test_the_stated_digest_is_asked_of_the_command_line(tmp_path, capsys):
    source, target = pretrained(tmp_path / "a.pth", "mim_vit_a_norm"), tmp_path / "encoder.safetensors"
    command = ["convert", "--from", str(source), "--to", str(target), "--sha256"]
    assert main([*command, "0" * 64]) == 2
    assert f"not the stated {'0' * 64}; fetch it again" in capsys.readouterr().err and not target.exists()
    assert main([*command, sha256_file(source)]) == 0 and target.exists()


def test_file_endings_decide(tmp_path):
    source = pretrained(tmp_path / "a.pth", "mim_vit_a_norm")
    with pytest.raises(ValueError, match=r"out\.pt '\.pt'; did you mean '\.pth'"):
        convert(source, tmp_path / "out.pt")
    save_file(tensors("mim_vit_a_norm", "weights"), tmp_path / "bare.safetensors")
    convert(tmp_path / "bare.safetensors", tmp_path / "one.safetensors")
    convert(source, tmp_path / "two.safetensors")
    one, two = (load_encoder(tmp_path / f"{name}.safetensors")[0].state_dict() for name in ("one", "two"))
    assert all(torch.equal(one[key], two[key]) for key in two)


def test_settings_that_do_not_exist_there(tmp_path):
    source = pretrained(tmp_path / "a.pth", "mim_vit_a_norm")
    with pytest.raises(ValueError, match="unknown transfer setting of encoder=vit 'window'"):
        convert(source, tmp_path / "out.safetensors", window=7)


@pytest.mark.parametrize("option", ["image_px", "window"])
def test_sizes_are_positive(tmp_path, option):
    with pytest.raises(ValueError, match=f"--{option.replace('_', '-')} 0 must be at least 1"):
        convert(tmp_path / "a.pth", tmp_path / "out.pth", **{option: 0})


def test_other_channels_are_refused(tmp_path):
    state = tensors("mim_vit_a_norm", "weights")
    state["encoder.patch_embed.proj.weight"] = torch.zeros(48, 4, 16, 16)
    config = released_config(case("mim_vit_a_norm")["settings"] | {"in_chans": 4})
    source = write(tmp_path / "a.pth", {"model": state, "config": config})
    with pytest.raises(ValueError, match=r"a\.pth: it takes 4 channels; released weights take RGB"):
        convert(source, tmp_path / "out.safetensors")


def test_an_encoder_of_ours_the_released_code_cannot_have(tmp_path):
    section = {"name": "swin", "embed_dim": 12, "depths": [1, 1], "num_heads": [2, 2], "window": 5}
    encoder = plugin.build("encoders", Component(**section), image_px=(64, 64))
    save_encoder(tmp_path / "a.safetensors", encoder, {"encoder": section, "image_px": [64, 64], "in_channels": 3})
    with pytest.raises(ValueError, match="stage 1 has 16 x 16 tokens, which windows of 5 do not divide"):
        convert(tmp_path / "a.safetensors", tmp_path / "b.pth")
    convert(tmp_path / "a.safetensors", tmp_path / "b.pth", window=8)
    assert torch.load(tmp_path / "b.pth", weights_only=True)["model"][
        "encoder.layers.0.blocks.0.attn.relative_position_bias_table"
    ].shape == (225, 2)


def test_an_entry_under_both_its_names(tmp_path):
    state = tensors("mim_swinv2_a", "weights")
    name = "encoder.layers.0.blocks.0.attn.cpb_mlp.0.bias"
    state[name.replace("cpb", "rpe")] = state[name].clone()
    with pytest.raises(ValueError, match="same entry under its old and under its new name"):
        convert(pretrained(tmp_path / "a.pth", "mim_swinv2_a", model=state), tmp_path / "out.safetensors")
