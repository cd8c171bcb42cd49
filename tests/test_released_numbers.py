"""Forward pass, loss and gradients equal those of the released code on the same weights."""

import zlib

import numpy as np
import pytest
import torch
from official import case, masked_loss, official_name, our_name, our_state, simmim_model, tensors

CASES = "mim_swin_a", "mim_swinv2_a", "mim_vit_a_norm", "mim_vit_a_meanpool"

# Cosine attention multiplies rounding errors: what float32 is allowed with SwinV2, as a factor.
LOOSER_V2 = {"output": 10, "loss": 5, "element": 30, "norm": 10}


def _tolerance(name, what, dtype, tolerance):
    return tolerance * LOOSER_V2[what] if "swinv2" in name and dtype == torch.float32 else tolerance


def _run(name, dtype):
    record, data = case(name), tensors(name)
    model = simmim_model(record["settings"])
    model.load_state_dict(our_state(tensors(name, "weights")), strict=True)
    model.to(dtype)
    images, hidden = data["input.image"].to(dtype), data["input.mask"].bool()
    return record, data, model, images, hidden


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("dtype, tolerance", [(torch.float64, 1e-11), (torch.float32, 1e-5)])
def test_encoder_output_and_reconstruction(name, dtype, tolerance):
    _, data, model, images, hidden = _run(name, dtype)
    tolerance = _tolerance(name, "output", dtype, tolerance)
    features = model.encoder(images, hidden)
    torch.testing.assert_close(features.double(), data["f64.encoder_out"], rtol=0, atol=tolerance)
    if "f64.reconstruction" in data:  # the ViT cases hold none; their losses and head gradients stand for it
        prediction = model.predict(images, hidden).double()
        torch.testing.assert_close(prediction, data["f64.reconstruction"], rtol=0, atol=tolerance)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("dtype, tolerance", [(torch.float64, 1e-8), (torch.float32, 2e-6)])
def test_loss(name, dtype, tolerance):
    record, _, model, images, hidden = _run(name, dtype)
    loss = masked_loss(model, images, hidden)
    assert loss.dtype == dtype
    allowed = _tolerance(name, "loss", dtype, tolerance)
    assert loss.item() == pytest.approx(record["expected"]["loss_fp64"], abs=allowed)
    assert hidden.flatten(1).sum(1).tolist() == record["expected"]["masked_tokens_per_sample"]


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("dtype, element, norm", [(torch.float64, 1e-8, 1e-8), (torch.float32, 1e-6, 1e-4)])
def test_gradients(name, dtype, element, norm):
    record, data, model, images, hidden = _run(name, dtype)
    element, norm = _tolerance(name, "element", dtype, element), _tolerance(name, "norm", dtype, norm)
    masked_loss(model, images, hidden).backward()
    gradients = {key: parameter.grad for key, parameter in model.named_parameters()}
    total = record["expected"]["grad_total_l2_norm_fp64"]
    for official, expected in record["grad_l2_norm_fp64"].items():
        if expected is None:
            assert "fc_norm" in official
            continue
        got = gradients.pop(our_name(official)).norm().item()
        assert got == pytest.approx(expected, rel=norm, abs=element * total), official
    assert not gradients, "these parameters have no reference"
    for key, expected in data.items():
        if key.startswith("f64.grad."):
            got = model.get_parameter(our_name(key.removeprefix("f64.grad."))).grad.double()
            assert (got - expected).abs().max() <= element * total, key


@pytest.mark.parametrize("name", CASES)
def test_layer_norm_epsilon_matters(name):
    """The float64 comparison above notices the wrong epsilon."""
    _, data, model, images, hidden = _run(name, torch.float64)
    for module in model.modules():
        if isinstance(module, torch.nn.LayerNorm):
            module.eps = 1e-6 if module.eps == 1e-5 else 1e-5
    assert (model.encoder(images, hidden) - data["f64.encoder_out"]).abs().max() > 1e-9


@pytest.mark.parametrize("name", ["mim_swin_a", "mim_swinv2_a"])
def test_windows_and_shifts_of_every_block(name):
    record, _, model, *_ = _run(name, torch.float32)
    got = [[[b.window_size[0], b.shift_size[0]] for b in stage.blocks] for stage in model.encoder.layers]
    assert got == record["settings"]["per_block_window_shift"]


def test_full_size_swin_base():
    record = case("full_swin_base_192_a")
    settings, seed, expected = record["settings"], record["settings"]["seed"], record["expected"]
    model = simmim_model(settings)
    assert sum(parameter.numel() for parameter in model.parameters()) == record["parameter_count"]
    model.load_state_dict(our_state(_recipe_weights(record)), strict=True)
    side = settings["img_size"]
    images = np.random.RandomState(seed + 1).standard_normal((1, 3, side, side)).astype(np.float32)
    cells = torch.zeros(1, 36, dtype=torch.bool)
    cells[0, record["mask_first_sample_coarse_cells"]] = True
    hidden = model.geometry.cells_to_tokens(cells.view(1, 6, 6))
    assert hidden.sum() == record["masked_tokens"]
    features = model.encoder(torch.from_numpy(images), hidden)
    _compare(features, expected["encoder_out_fp64"], 2e-5)
    _compare(model.head(features), expected["reconstruction_fp64"], 2e-5)
    loss = masked_loss(model, torch.from_numpy(images), hidden)
    assert loss.item() == pytest.approx(expected["loss_fp64"], abs=2e-6)
    loss.backward()
    total = torch.stack([parameter.grad.norm() for parameter in model.parameters()]).norm().item()
    assert total == pytest.approx(expected["grad_total_l2_norm_fp64"], rel=1e-4)


def _compare(got, expected, tolerance):
    assert list(got.shape) == expected["shape"]
    sampled = got.detach().flatten()[expected["flat_index"]].double()
    torch.testing.assert_close(sampled, torch.tensor(expected["values"], dtype=torch.float64), rtol=0, atol=tolerance)


def _recipe_weights(record):
    """Weights by released name, drawn as the case's recipe says; checked against its samples."""
    model, seed = simmim_model(record["settings"]), record["settings"]["seed"]
    shapes = {official_name(name): parameter.shape for name, parameter in model.named_parameters()}
    weights = {}
    for name, shape in shapes.items():
        scale, offset = _scale_and_offset(name, shape)
        drawn = np.random.RandomState((zlib.crc32(name.encode()) + seed) % 2**32).standard_normal(tuple(shape))
        weights[name] = torch.from_numpy((drawn * scale + offset).astype(np.float32))
    for name, sample in record["weight_check"].items():
        assert weights[name].flatten()[0].item() == pytest.approx(sample["first"], rel=1e-6), name
        assert weights[name].double().norm().item() == pytest.approx(sample["l2"], rel=1e-6), name
    return weights


def _scale_and_offset(name, shape):
    if name.endswith(("relative_position_bias_table", "mask_token")):
        return 0.5, 0.0
    if name.endswith(".bias"):
        return 0.1, 0.0
    return (0.2, 1.0) if len(shape) == 1 else (1 / np.sqrt(np.prod(shape[1:])), 0.0)
