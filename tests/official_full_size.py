"""Swin-B at 192 px with the weights of a recipe, held against the reference numbers on any device."""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np
import pytest
import torch
from official import case, masked_loss, official_name, our_state, simmim_model
from official_runs import CPU
from torch import Tensor


def check_full_size(tolerance: float, device: torch.device = CPU) -> None:
    """Features, prediction, loss and the norm of all gradients in float32.

    Args:
        tolerance: of features and prediction; a tenth of it is the loss's, five times it the norm's, relatively.
    """
    record = case("full_swin_base_192_a")
    settings, seed, expected = record["settings"], record["settings"]["seed"], record["expected"]
    model = simmim_model(settings)
    assert sum(parameter.numel() for parameter in model.parameters()) == record["parameter_count"]
    model.load_state_dict(our_state(_recipe_weights(record)), strict=True)
    model.to(device)
    side = settings["img_size"]
    drawn = np.random.RandomState(seed + 1).standard_normal((1, 3, side, side))
    images = torch.from_numpy(drawn.astype(np.float32)).to(device)
    cells = torch.zeros(1, 36, dtype=torch.bool)
    cells[0, record["mask_first_sample_coarse_cells"]] = True
    hidden = model.geometry.cells_to_tokens(cells.view(1, 6, 6)).to(device)
    assert hidden.sum() == record["masked_tokens"]
    features = model.encoder(images, hidden)
    _compare(features, expected["encoder_out_fp64"], tolerance)
    _compare(model.head(features), expected["reconstruction_fp64"], tolerance)
    loss = masked_loss(model, images, hidden)
    assert loss.item() == pytest.approx(expected["loss_fp64"], abs=0.1 * tolerance)
    loss.backward()
    total = torch.stack([parameter.grad.norm() for parameter in model.parameters()]).norm().item()
    assert total == pytest.approx(expected["grad_total_l2_norm_fp64"], rel=5 * tolerance)


def _compare(got: Tensor, expected: dict[str, Any], tolerance: float) -> None:
    assert list(got.shape) == expected["shape"]
    sampled = got.detach().cpu().flatten()[expected["flat_index"]].double()
    torch.testing.assert_close(sampled, torch.tensor(expected["values"], dtype=torch.float64), rtol=0, atol=tolerance)


def _recipe_weights(record: dict[str, Any]) -> dict[str, Tensor]:
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


def _scale_and_offset(name: str, shape: tuple[int, ...]) -> tuple[float, float]:
    if name.endswith(("relative_position_bias_table", "mask_token")):
        return 0.5, 0.0
    if name.endswith(".bias"):
        return 0.1, 0.0
    return (0.2, 1.0) if len(shape) == 1 else (1 / np.sqrt(np.prod(shape[1:])), 0.0)
