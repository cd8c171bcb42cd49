"""The classifier on pre-trained weights equals the released fine-tuning models."""

import pytest
import torch
from official_runs import FINETUNED, check_classifier, check_classifier_gradients, classifier

from simmim import plugin
from simmim.evaluate.finetune.classifier import Classifier
from simmim.plugin import Component


@pytest.mark.parametrize("name", ["ft_swin_a", "ft_vit_a"])
def test_resized_tables(name):
    _, data, model = classifier(name)
    remapped = {key.removeprefix("remapped."): value for key, value in data.items() if key.startswith("remapped.")}
    assert remapped
    for key, expected in remapped.items():
        torch.testing.assert_close(model.encoder.get_parameter(key).data, expected, rtol=0, atol=1e-6)


def test_distances_are_measured_by_the_window_of_the_pretraining():
    """SwinV2 has no tables to resize: its log-spaced coordinates keep the scale of the windows 6, 6, 6 and 3."""
    _, data, model = classifier("ft_swinv2_a")
    for stage in range(4):
        key = f"layers.{stage}.blocks.0.attn.relative_coords_table"
        got = model.encoder.get_buffer(key)
        assert torch.equal(got, data[f"buffer.{key}"])
        assert got.dtype == torch.float32


@pytest.mark.parametrize("name", FINETUNED)
@pytest.mark.parametrize("dtype, tolerance", [(torch.float64, 1e-11), (torch.float32, 1e-5)])
def test_features_logits_and_losses(name, dtype, tolerance):
    check_classifier(name, dtype, tolerance)


@pytest.mark.parametrize("name", ["ft_swin_a", "ft_vit_a"])  # the SwinV2 case has none
def test_gradients(name):
    check_classifier_gradients(name)


def test_start_values_of_the_head():
    section = Component(name="vit", patch_px=8, embed_dim=64, depth=1, num_heads=2)
    for final_norm, deviation in ((True, 0.02), (False, 0.02 * 0.001)):
        encoder = plugin.build("encoders", section.changed(final_norm=final_norm), image_px=(32, 32))
        model = Classifier(encoder, 50)
        assert model.head.weight.std().item() == pytest.approx(deviation, rel=0.1)
        assert model.head.bias.eq(0).all()
        assert not encoder.mask_token.requires_grad


def test_every_trainable_parameter_gets_a_gradient():
    for name in FINETUNED:
        _, data, model = classifier(name)
        model(data["input.image"].float()).square().sum().backward()
        assert all((p.grad is not None) == p.requires_grad for p in model.parameters())
