"""Forward pass, loss and gradients equal those of the released code on the same weights."""

import pytest
import torch
from official_full_size import check_full_size
from official_runs import MASKED, check_gradients, check_loss, check_output, masked_case


@pytest.mark.parametrize("name", MASKED)
@pytest.mark.parametrize("dtype, tolerance", [(torch.float64, 1e-11), (torch.float32, 1e-5)])
def test_encoder_output_and_reconstruction(name, dtype, tolerance):
    check_output(masked_case(name, dtype), tolerance)


@pytest.mark.parametrize("name", MASKED)
@pytest.mark.parametrize("dtype, tolerance", [(torch.float64, 1e-8), (torch.float32, 2e-6)])
def test_loss(name, dtype, tolerance):
    check_loss(masked_case(name, dtype), tolerance)


@pytest.mark.parametrize("name", MASKED)
@pytest.mark.parametrize("dtype, element, norm", [(torch.float64, 1e-8, 1e-8), (torch.float32, 1e-6, 1e-4)])
def test_gradients(name, dtype, element, norm):
    check_gradients(masked_case(name, dtype), element, norm)


@pytest.mark.parametrize("name", MASKED)
def test_layer_norm_epsilon_matters(name):
    """The float64 comparison above notices the wrong epsilon."""
    run = masked_case(name, torch.float64)
    for module in run.model.modules():
        if isinstance(module, torch.nn.LayerNorm):
            module.eps = 1e-6 if module.eps == 1e-5 else 1e-5
    assert (run.model.encoder(run.images, run.hidden) - run.data["f64.encoder_out"]).abs().max() > 1e-9


@pytest.mark.parametrize("name", ["mim_swin_a", "mim_swinv2_a"])
def test_windows_and_shifts_of_every_block(name):
    run = masked_case(name, torch.float32)
    got = [[[b.window_size[0], b.shift_size[0]] for b in stage.blocks] for stage in run.model.encoder.layers]
    assert got == run.record["settings"]["per_block_window_shift"]


def test_full_size_swin_base():
    check_full_size(2e-5)
