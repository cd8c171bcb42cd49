"""States of wrapped, averaged and half-precision models: read where unambiguous, else refused with one line."""

import pytest
import torch
from official import case, tensors
from released_files import CASES, finetuned_state, pretrained, released_config, write

from simmim.released.convert import convert
from simmim.released.names import is_left_aside, prefix_of
from simmim.storage.encoder_file import load_encoder


def converted(tmp_path, content, **sizes):
    """Notes, weights and header of what a content becomes."""
    notes = convert(write(tmp_path / "a.pth", content), tmp_path / "a.safetensors", overwrite=True, **sizes)
    encoder, header = load_encoder(tmp_path / "a.safetensors")
    return notes, encoder.state_dict(), header


def plain(tmp_path, name):
    convert(pretrained(tmp_path / "plain.pth", name), tmp_path / "plain.safetensors")
    return load_encoder(tmp_path / "plain.safetensors")[0].state_dict()


def content_of(name, state):
    return {"model": state, "config": released_config(case(name)["settings"])}


def refusal(tmp_path, content):
    with pytest.raises(ValueError) as caught:
        convert(write(tmp_path / "a.pth", content), tmp_path / "a.safetensors")
    assert "\n" not in str(caught.value) and str(caught.value).startswith(f"{tmp_path}/a.pth")
    return str(caught.value)


def same(one, two):
    return one.keys() == two.keys() and all(torch.equal(value, two[name]) for name, value in one.items())


@pytest.mark.parametrize("name, wrapper", list(zip(CASES, ["module.", "_orig_mod.", "module._orig_mod.", "model."])))
def test_a_wrapper_of_the_whole_model_is_taken_off(tmp_path, name, wrapper):
    state = {wrapper + key: value for key, value in tensors(name, "weights").items()}
    notes, weights, _ = converted(tmp_path, content_of(name, state))
    assert same(weights, plain(tmp_path, name))
    assert f"taken off the encoder's names: {wrapper}" in notes
    aside = next(note for note in notes if note.startswith("left aside: "))
    assert f"{wrapper}decoder.0.weight" in aside and f"{wrapper}encoder" not in aside.replace("encoder.fc_norm", "")


@pytest.mark.parametrize("wrapper", ["module.", "backbone.", "module.backbone."])
def test_a_wrapper_of_a_fine_tuned_model_is_taken_off(tmp_path, wrapper):
    bare = finetuned_state("ft_swin_a")
    state = {wrapper + key: value for key, value in bare.items()}
    state |= {"decode_head.conv.weight": torch.zeros(3)} if "backbone" in wrapper else {"n_averaged": torch.tensor(7)}
    notes, weights, _ = converted(tmp_path, content_of("ft_swin_a", state))
    _, expected, _ = converted(tmp_path, content_of("ft_swin_a", bare))
    assert same(weights, expected)
    assert f"taken off the encoder's names: {wrapper}" in notes
    aside = next(note for note in notes if note.startswith("left aside: "))
    others = {"decode_head.conv.weight", "n_averaged"} & state.keys()
    heads = {f"{wrapper}head.weight", f"{wrapper}head.bias"}
    assert set(aside.removeprefix("left aside: ").split(", ")) == others | heads


def test_released_names_need_no_remark(tmp_path):
    for name, content in (
        ("mim_vit_a_norm", content_of("mim_vit_a_norm", tensors("mim_vit_a_norm", "weights"))),
        ("ft_vit_a", content_of("ft_vit_a", finetuned_state("ft_vit_a"))),
    ):
        notes, _, _ = converted(tmp_path, content)
        remarks = "taken off", "was found under", "half precision", "not checked"
        assert not any(remark in note for note in notes for remark in remarks), name


@pytest.mark.parametrize("pair", [("base_encoder.", "momentum_encoder."), ("", "teacher."), ("module.", "encoder.")])
def test_two_encoders_in_one_state_are_refused(tmp_path, pair):
    bare = finetuned_state("ft_vit_a")
    message = refusal(tmp_path, {"model": {prefix + key: value for key, value in bare.items() for prefix in pair}})
    listed = ", ".join(f"'{prefix}'" for prefix in sorted(pair))
    assert message.endswith(f"it holds 2 encoders, whose names begin with {listed}; keep the entries of one")


@pytest.mark.parametrize("entry", ["state_dict", "state_dict_ema", "model_ema", "module", "teacher"])
def test_a_state_under_another_name_is_found(tmp_path, entry):
    name = "mim_swin_a"
    content = content_of(name, tensors(name, "weights"))
    renamed = {entry: content.pop("model"), "optimizer": {"state": {}, "lr": 1.0}, "epoch": 3} | content
    notes, weights, header = converted(tmp_path, renamed)
    assert same(weights, plain(tmp_path, name))
    assert f"the state was found under '{entry}'" in notes
    assert notes[-2].endswith("optimizer, epoch") and header["image_px"] == [96, 96]


def test_several_states_are_refused_and_a_released_one_comes_first(tmp_path):
    state = tensors("mim_vit_a_norm", "weights")
    zeros = {name: torch.zeros_like(value) for name, value in state.items()}
    message = refusal(tmp_path, {"state_dict": state, "state_dict_ema": zeros, "epoch": 3})
    assert message.endswith(
        "has several states: 'state_dict', 'state_dict_ema'; save the one you want as {'model': state}"
    )
    notes, weights, _ = converted(tmp_path, {"model_ema": zeros, "model": state})
    assert same(weights, plain(tmp_path, "mim_vit_a_norm")) and notes[-2].endswith("model_ema")


@pytest.mark.parametrize("content", [{"state_dict": {}}, {"state": {"a": 1}}, {"args": "x", "epoch": torch.zeros(1)}])
def test_what_holds_no_state_is_refused(tmp_path, content):
    assert f"has no state under 'model', only: {', '.join(content)}" in refusal(tmp_path, content)


@pytest.mark.parametrize(
    "name, dtype",
    [
        ("mim_swin_a", torch.bfloat16),
        ("mim_swinv2_a", torch.float16),
        ("mim_swinv2_a", torch.bfloat16),
        ("mim_vit_a_norm", torch.float16),
    ],
)
def test_half_precision_is_widened(tmp_path, name, dtype):
    convert(pretrained(tmp_path / "plain.pth", name), tmp_path / "plain.safetensors")
    convert(tmp_path / "plain.safetensors", tmp_path / "tables.pth")  # with stored tables, in half precision too
    whole = torch.load(tmp_path / "tables.pth", weights_only=True)["model"]
    half = {key: value.to(dtype) if value.is_floating_point() else value for key, value in whole.items()}
    notes, weights, _ = converted(tmp_path, content_of(name, half))
    expected = load_encoder(tmp_path / "plain.safetensors")[0].state_dict()
    assert same(weights, {key: value.to(dtype).float() for key, value in expected.items()})
    assert f"stored in half precision, values kept in float32: {str(dtype)[6:]}" in notes


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=["float16", "bfloat16"])
def test_other_tables_are_noticed_in_half_precision(tmp_path, dtype):
    convert(pretrained(tmp_path / "plain.pth", "mim_swinv2_a"), tmp_path / "plain.safetensors")
    convert(tmp_path / "plain.safetensors", tmp_path / "tables.pth")
    state = torch.load(tmp_path / "tables.pth", weights_only=True)["model"]
    half = {key: value.to(dtype) if value.is_floating_point() else value for key, value in state.items()}
    half["encoder.layers.0.blocks.1.attn.relative_coords_table"] *= 1.02
    with pytest.raises(ValueError, match=r"1 entries do not fit:\n.*coords_table holds other values"):
        convert(write(tmp_path / "a.pth", content_of("mim_swinv2_a", half)), tmp_path / "a.safetensors")


def test_a_fine_tuned_file_in_half_precision(tmp_path):
    half = {key: value.half() for key, value in finetuned_state("ft_vit_a").items()}
    notes, weights, _ = converted(tmp_path, content_of("ft_vit_a", half))
    assert weights["mask_token"].dtype == torch.float32 and weights["mask_token"].eq(0).all()
    assert "stored in half precision, values kept in float32: float16" in notes


@pytest.mark.parametrize("formats", [(torch.float64, torch.float64), (torch.float16, torch.float32)])
def test_other_number_formats_are_one_line(tmp_path, formats):
    state = tensors("mim_vit_a_norm", "weights")
    state = {key: value.to(formats[number % 2]) for number, (key, value) in enumerate(state.items())}
    message = refusal(tmp_path, {"model": state})
    assert f"tensors are {str(formats[0])[6:]}, first '" in message and "value.float()" in message


def test_prefixes():
    def prefix(*names):
        return prefix_of([*names, "other.weight"])

    assert prefix("patch_embed.proj.weight") == "" and prefix("encoder.patch_embed.proj.weight") == "encoder."
    assert prefix("a.encoder.patch_embed.proj.weight") == "a.encoder." and prefix("re_patch_embed.proj.weight") == ""
    assert prefix("encoder.norm.weight") == "encoder."  # incomplete, as the list of missing entries will say
    assert is_left_aside("a.decoder.0.weight", "a.encoder.") and not is_left_aside("decoder.0.weight", "a.encoder.")
    assert is_left_aside("decoder.0.weight", "encoder.") and not is_left_aside("decoder.0.weight", "")
    assert is_left_aside("neck.weight", "backbone.") and not is_left_aside("backbone.norm.weight", "backbone.")
    assert is_left_aside("module.fc_norm.weight", "module.") and is_left_aside("head.weight", "")
