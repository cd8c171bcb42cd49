"""Released weights become encoder files and come back: same bits, same features, or a list of what does not fit."""

import hashlib

import pytest
import torch
from official import case, tensors
from released_files import CASES, FINETUNED, finetuned, finetuned_state, pretrained, write

from simmim import plugin
from simmim.evaluate.finetune.classifier import Classifier
from simmim.plugin import Component
from simmim.released.convert import convert
from simmim.storage.encoder_file import load_encoder, save_encoder, start_from
from simmim.storage.files import sha256_file

TRANSFER = {
    "ft_swin_a": {"window": 8},
    "ft_swinv2_a": {"window": 8},
    "ft_vit_a": {"shared_bias": False, "final_norm": False},
}


def _model(path):
    return torch.load(path, weights_only=True)["model"]


def _golden_classifier(encoder, name):
    """The encoder with the case's fresh norm and classifier."""
    model = Classifier(encoder, case(name)["settings"]["num_classes"])
    data = tensors(name)
    model.load_state_dict({key[6:]: value for key, value in data.items() if key.startswith("fresh.")}, strict=False)
    return model.double(), data


@pytest.mark.parametrize("name", CASES)
def test_there_and_back_keeps_every_bit(tmp_path, name):
    source = pretrained(tmp_path / "a.pth", name)
    notes = convert(source, tmp_path / "encoder.safetensors")
    convert(tmp_path / "encoder.safetensors", tmp_path / "back.pth")
    before, after = tensors(name, "weights"), _model(tmp_path / "back.pth")
    aside = {key for key in before if key.startswith(("decoder.", "encoder.fc_norm."))}
    for key in before.keys() - aside:
        assert torch.equal(after[key], before[key]) and after[key].dtype == before[key].dtype, key
    tables = after.keys() - before.keys()
    assert all(key.endswith(("relative_position_index", "attn_mask", "relative_coords_table")) for key in tables)
    said = next(note for note in notes if note.startswith("left aside: "))
    assert set(said.removeprefix("left aside: ").split(", ")) == aside | {"optimizer", "max_accuracy", "epoch"}


@pytest.mark.parametrize(
    "encoder",
    [
        {"name": "swin", "embed_dim": 12, "depths": [1, 1, 2], "num_heads": [1, 2, 4], "window": 4, "mlp_ratio": 2.7},
        {"name": "vit", "embed_dim": 56, "depth": 1, "num_heads": 2, "mlp_ratio": 1.1},
    ],
)
@pytest.mark.parametrize("has_config", [True, False])
def test_hidden_channels_that_no_short_ratio_gives_come_back(tmp_path, encoder, has_config):
    """32, 64 and 129 of 12, 24 and 48 channels; 61 of 56, where 56 * (61 / 56) < 61 in floating point."""
    network = plugin.build("encoders", Component(**encoder), image_px=(64, 64), in_channels=3)
    header = {"encoder": encoder, "image_px": [64, 64], "in_channels": 3, "mean": [0.5] * 3, "std": [0.5] * 3}
    save_encoder(tmp_path / "encoder.safetensors", network, header)
    convert(tmp_path / "encoder.safetensors", tmp_path / "released.pth")
    if has_config:
        settings = {"MLP_RATIO": encoder["mlp_ratio"]}
        config = {"MODEL": {"TYPE": encoder["name"], encoder["name"].upper(): settings}, "DATA": {"IMG_SIZE": 64}}
        write(tmp_path / "released.pth", {"model": _model(tmp_path / "released.pth"), "config": config})
    convert(tmp_path / "released.pth", tmp_path / "back.safetensors", image_px=64)
    back, _ = load_encoder(tmp_path / "back.safetensors")
    images = torch.randn(1, 3, 64, 64)
    assert torch.equal(back.eval()(images), network.eval()(images))


@pytest.mark.parametrize("name", case("released_buffers")["buffers"])
def test_stored_tables_are_made_anew(tmp_path, name):
    expected = case("released_buffers")["buffers"][name]
    convert(pretrained(tmp_path / "a.pth", name), tmp_path / "encoder.safetensors")
    convert(tmp_path / "encoder.safetensors", tmp_path / "back.pth")
    after = _model(tmp_path / "back.pth")
    encoder_names = {key for key in tensors(name, "weights") if key.startswith("encoder.")}
    assert after.keys() == expected.keys() | encoder_names
    for key, row in expected.items():
        assert [str(after[key].dtype), list(after[key].shape)] == [f"torch.{row['dtype']}", row["shape"]], key
        if "sha256" in row:
            assert hashlib.sha256(after[key].numpy().tobytes()).hexdigest() == row["sha256"], key
    convert(tmp_path / "back.pth", tmp_path / "again.safetensors")  # now the tables tell size and windows
    (one, first), (two, second) = (load_encoder(tmp_path / f"{file}.safetensors") for file in ("encoder", "again"))
    assert first["image_px"] == second["image_px"]
    images = torch.randn(1, 3, 96, 96)
    assert torch.equal(one(images), two(images))


@pytest.mark.parametrize("name", CASES)
def test_features_are_the_released_ones(tmp_path, name):
    convert(pretrained(tmp_path / "a.pth", name), tmp_path / "encoder.safetensors")
    encoder, _ = load_encoder(tmp_path / "encoder.safetensors")
    data = tensors(name)
    features = encoder.double()(data["input.image"].double(), data["input.mask"].bool())
    torch.testing.assert_close(features, data["f64.encoder_out"], rtol=0, atol=1e-11)


@pytest.mark.parametrize("name", FINETUNED)
@pytest.mark.parametrize("fitted_by", ["load_encoder", "convert"])
def test_transfer_to_another_size_and_window(tmp_path, name, fitted_by):
    record, path = case(name), tmp_path / "encoder.safetensors"
    size, transfer = record["settings"]["img_size"], TRANSFER[name]
    now = {"image_px": size, "window": transfer.get("window")} if fitted_by == "convert" else {}
    convert(pretrained(tmp_path / "a.pth", record["source_case"]), path, **now)
    later = transfer if "shared_bias" in transfer or fitted_by == "load_encoder" else {}
    encoder, _ = load_encoder(path, None if now else (size, size), **later)
    assert encoder.image_px == (size, size)
    for key, expected in tensors(name).items():
        if key.startswith("remapped."):
            torch.testing.assert_close(encoder.get_parameter(key[9:]).data, expected, rtol=0, atol=1e-6)
    model, data = _golden_classifier(encoder, name)
    images = data["input.image"].double()
    torch.testing.assert_close(model.features(images), data["f64.features"], rtol=0, atol=1e-11)
    torch.testing.assert_close(model(images), data["f64.logits"], rtol=0, atol=1e-11)


@pytest.mark.parametrize("name", ["ft_swin_a", "ft_swinv2_a"])
def test_the_released_layout_at_another_window(tmp_path, name):
    size = case(name)["settings"]["img_size"]
    source = pretrained(tmp_path / "a.pth", case(name)["source_case"])
    convert(source, tmp_path / "b.pth", image_px=size, window=8)
    state, data = _model(tmp_path / "b.pth"), tensors(name)
    compared = [key for key in data if key.startswith(("remapped.", "buffer."))]
    assert compared
    for key in compared:
        torch.testing.assert_close(state["encoder." + key.split(".", 1)[1]], data[key], rtol=0, atol=1e-6)
    assert state["encoder.layers.0.blocks.1.attn_mask"].shape == (16, 64, 64)


@pytest.mark.parametrize("name", FINETUNED)
def test_fine_tuned_files(tmp_path, name):
    notes = convert(finetuned(tmp_path / "a.pth", name), tmp_path / "encoder.safetensors")
    assert "not in a fine-tuned file, set to zero: mask_token" in notes
    heads = [key for key in finetuned_state(name) if key.startswith(("head.", "fc_norm."))]
    assert heads and "left aside: " + ", ".join(heads) in notes
    encoder, header = load_encoder(tmp_path / "encoder.safetensors")
    assert encoder.mask_token.eq(0).all() and header["origin"]["fine_tuned"]
    model, data = _golden_classifier(encoder, name)
    torch.testing.assert_close(model(data["input.image"].double()), data["f64.logits"], rtol=0, atol=1e-11)


def test_the_old_name_of_the_bias_network(tmp_path):
    state = {key.replace("cpb_mlp", "rpe_mlp"): value for key, value in tensors("mim_swinv2_a", "weights").items()}
    old = pretrained(tmp_path / "old.pth", "mim_swinv2_a", model=state)
    convert(old, tmp_path / "old.safetensors")
    convert(pretrained(tmp_path / "new.pth", "mim_swinv2_a"), tmp_path / "new.safetensors")
    before, after = (load_encoder(tmp_path / f"{age}.safetensors")[0].state_dict() for age in ("old", "new"))
    assert all(torch.equal(before[key], after[key]) for key in after)


def test_the_header_tells_where_it_comes_from(tmp_path):
    source = pretrained(tmp_path / "a.pth", "mim_swin_a")
    convert(source, tmp_path / "encoder.safetensors")
    _, header = load_encoder(tmp_path / "encoder.safetensors")
    origin = {
        "file": "a.pth",
        "sha256": sha256_file(source),
        "released_as": "simmim_pretrain__tiny",
        "fine_tuned": False,
    }
    assert header["origin"] == origin
    assert header["image_px"] == [96, 96] and header["in_channels"] == len(header["mean"]) == len(header["std"]) == 3
    assert header["mean"] == [0.485, 0.456, 0.406]


def test_without_a_published_tag_the_file_s_name_says_what_it_is(tmp_path):
    convert(pretrained(tmp_path / "a.pth", "mim_vit_a_norm", config=False), tmp_path / "encoder.safetensors")
    assert load_encoder(tmp_path / "encoder.safetensors")[1]["origin"]["released_as"] == "a"


@pytest.mark.parametrize("name", FINETUNED)
def test_a_run_can_start_from_it(tmp_path, name):
    convert(pretrained(tmp_path / "a.pth", case(name)["source_case"]), tmp_path / "encoder.safetensors")
    saved, header = load_encoder(tmp_path / "encoder.safetensors")
    section = header["encoder"] | TRANSFER[name] | getattr(saved, "kept_settings", {})
    size = case(name)["settings"]["img_size"]
    encoder = plugin.build("encoders", Component(**section), image_px=(size, size), in_channels=3)
    start_from(encoder, tmp_path / "encoder.safetensors")
    assert torch.equal(encoder.mask_token, saved.mask_token) and saved.mask_token.any()
    model, data = _golden_classifier(encoder, name)
    torch.testing.assert_close(model(data["input.image"].double()), data["f64.logits"], rtol=0, atol=1e-11)


def test_the_encoder_of_a_run_is_converted_without_its_drop_path(tmp_path):
    section = {"name": "swin", "embed_dim": 12, "depths": [2, 2], "num_heads": [2, 2], "window": 4, "drop_path": 0.5}
    encoder = plugin.build("encoders", Component(**section), image_px=(64, 64))
    save_encoder(tmp_path / "a.safetensors", encoder, {"encoder": section, "image_px": [64, 64], "in_channels": 3})
    convert(tmp_path / "a.safetensors", tmp_path / "b.pth")
    convert(tmp_path / "b.pth", tmp_path / "c.safetensors")
    again, _ = load_encoder(tmp_path / "c.safetensors")
    assert all(torch.equal(value, again.state_dict()[key]) for key, value in encoder.state_dict().items())


@pytest.mark.parametrize(("changes", "said"), [({}, 0), ({"shared_bias": False}, 1), ({"shared_bias": True}, 0)])
def test_a_table_in_every_block_which_the_released_fine_tuning_does_not_load_is_said(tmp_path, changes, said):
    section = {"name": "vit", "embed_dim": 24, "depth": 2, "num_heads": 2} | changes
    encoder = plugin.build("encoders", Component(**section), image_px=(64, 64))
    save_encoder(tmp_path / "a.safetensors", encoder, {"encoder": section, "image_px": [64, 64], "in_channels": 3})
    notes = convert(tmp_path / "a.safetensors", tmp_path / "b.pth")
    assert str(notes).count("has a position table in every block") == said


def test_both_ways_say_which_statistics_the_weights_expect(tmp_path):
    notes = convert(pretrained(tmp_path / "a.pth", "mim_swin_a"), tmp_path / "encoder.safetensors")
    assert "not told by the file: its images' statistics. ImageNet's are taken, mean 0.485, 0.456, 0.406" in str(notes)
    notes = convert(tmp_path / "encoder.safetensors", tmp_path / "back.pth")
    assert "the file does not say that its images, in [0, 1], are normalised by mean 0.485, 0.456, 0.406" in str(notes)
    assert "the released code takes others" not in str(notes)
    encoder, header = load_encoder(tmp_path / "encoder.safetensors")
    save_encoder(tmp_path / "own.safetensors", encoder, header | {"mean": [0.5] * 3, "std": [0.25] * 3})
    notes = convert(tmp_path / "own.safetensors", tmp_path / "own.pth")
    assert "mean 0.5, 0.5, 0.5 and deviation 0.25, 0.25, 0.25; the released code takes others, ImageNet's" in str(notes)
