"""The classifier on pre-trained weights equals the released fine-tuning models."""

import pytest
import torch
from official import case, encoder_section, our_name, our_state, tensors
from torch.nn.functional import cross_entropy

from simmim import plugin
from simmim.evaluate.finetune.classifier import Classifier
from simmim.plugin import Component

CASES = "ft_swin_a", "ft_swinv2_a", "ft_vit_a"


def _classifier(name):
    """Built as the product does: pre-trained state -> adapt -> encoder at the new size, fresh head from the case."""
    record, data = case(name), tensors(name)
    settings = record["settings"]
    section = encoder_section(settings)
    section |= {"shared_bias": False, "final_norm": False} if settings["model"] == "vit" else {}
    encoder = plugin.build("encoders", Component.model_validate(section), image_px=(settings["img_size"],) * 2)
    weights = our_state(tensors(record["source_case"], "weights"))
    pretrained = {key.removeprefix("encoder."): value for key, value in weights.items() if key.startswith("encoder.")}
    encoder.load_state_dict(encoder.adapt(pretrained, (settings["pretrain_img_size"],) * 2), strict=True)
    model = Classifier(encoder, settings["num_classes"])
    fresh = {key.removeprefix("fresh."): value for key, value in data.items() if key.startswith("fresh.")}
    assert set(fresh) == {key for key in model.state_dict() if not key.startswith("encoder.")}
    model.load_state_dict(fresh, strict=False)
    return record, data, model


@pytest.mark.parametrize("name", ["ft_swin_a", "ft_vit_a"])
def test_resized_tables(name):
    _, data, model = _classifier(name)
    remapped = {key.removeprefix("remapped."): value for key, value in data.items() if key.startswith("remapped.")}
    assert remapped
    for key, expected in remapped.items():
        torch.testing.assert_close(model.encoder.get_parameter(key).data, expected, rtol=0, atol=1e-6)


def test_distances_are_measured_by_the_window_of_the_pretraining():
    """SwinV2 has no tables to resize: its log-spaced coordinates keep the scale of the windows 6, 6, 6 and 3."""
    _, data, model = _classifier("ft_swinv2_a")
    for stage in range(4):
        key = f"layers.{stage}.blocks.0.attn.relative_coords_table"
        got = model.encoder.get_buffer(key)
        assert torch.equal(got, data[f"buffer.{key}"])
        assert got.dtype == torch.float32


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("dtype, tolerance", [(torch.float64, 1e-11), (torch.float32, 1e-5)])
def test_features_logits_and_losses(name, dtype, tolerance):
    record, data, model = _classifier(name)
    model.to(dtype)
    tolerance *= 10 if name == "ft_swinv2_a" and dtype == torch.float32 else 1
    images = data["input.image"].to(dtype)
    torch.testing.assert_close(model.features(images).double(), data["f64.features"], rtol=0, atol=tolerance)
    logits = model(images)
    torch.testing.assert_close(logits.double(), data["f64.logits"], rtol=0, atol=tolerance)
    losses = {"loss_soft_target_fp64": cross_entropy(logits, data["input.soft_target"].to(dtype))}
    if "input.label" in data:
        labels = data["input.label"]
        losses["loss_cross_entropy_fp64"] = cross_entropy(logits, labels)
        losses["loss_label_smoothing_0p1_fp64"] = cross_entropy(logits, labels, label_smoothing=0.1)
    for key, loss in losses.items():
        assert loss.item() == pytest.approx(record["expected"][key], abs=tolerance), key


@pytest.mark.parametrize("name", ["ft_swin_a", "ft_vit_a"])  # the SwinV2 case has none
def test_gradients(name):
    record, data, model = _classifier(name)
    model.double()
    cross_entropy(model(data["input.image"].double()), data["input.soft_target"].double()).backward()
    expected = record["grad_l2_norm_of_soft_target_loss_fp64"]
    ours = {key.removeprefix("encoder."): value.grad for key, value in model.named_parameters() if value.requires_grad}
    assert {our_name(key) for key in expected} == set(ours)
    for key, norm in expected.items():
        assert ours[our_name(key)].norm().item() == pytest.approx(norm, rel=1e-8, abs=1e-12), key


def test_start_values_of_the_head():
    section = Component(name="vit", patch_px=8, embed_dim=64, depth=1, num_heads=2)
    for final_norm, deviation in ((True, 0.02), (False, 0.02 * 0.001)):
        encoder = plugin.build("encoders", section.changed(final_norm=final_norm), image_px=(32, 32))
        model = Classifier(encoder, 50)
        assert model.head.weight.std().item() == pytest.approx(deviation, rel=0.1)
        assert model.head.bias.eq(0).all()
        assert not encoder.mask_token.requires_grad


def test_every_trainable_parameter_gets_a_gradient():
    for name in CASES:
        _, data, model = _classifier(name)
        model(data["input.image"].float()).square().sum().backward()
        assert all((p.grad is not None) == p.requires_grad for p in model.parameters())
