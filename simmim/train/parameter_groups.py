"""Groups for AdamW: which parameters decay, and layer-wise learning-rate decay (section 4.1, appendix A)."""

from __future__ import annotations

from collections.abc import Set
from typing import Any

from torch import nn


def parameter_groups(
    model: nn.Module, encoder_prefix: str, weight_decay: float, layer_decay: float, skip: Set[str]
) -> list[dict[str, Any]]:
    """Split the trainable parameters of a model that holds an encoder.

    Args:
        encoder_prefix: where the encoder is inside the model ("model.encoder."), "" for the model itself.
        weight_decay: of parameters that decay: all but one-dimensional ones, biases and `skip`.
        layer_decay: learning-rate factor from one layer to the one below; 1 = none. Parameters outside the encoder
            belong to the top layer, whose factor is 1.
        skip: names inside the encoder that never decay, what its `no_weight_decay` returned for this use.

    Returns:
        Groups in order of first appearance: `params`, `weight_decay`, `lr_scale` (the group's peak rate over the base
        rate) and `name`, such as "layer_3_no_decay", or "decay" where there is no layer-wise decay.
    """
    if not 0 < layer_decay <= 1:
        raise ValueError(f"layer_decay {layer_decay} must lie inside (0, 1]")
    encoder = model.get_submodule(encoder_prefix.rstrip("."))
    own = {encoder_prefix + name for name, _ in encoder.named_parameters()}
    skipped = {encoder_prefix + name for name in skip}
    assert skipped <= own, f"no parameters of the encoder: {sorted(skipped - own)}"
    groups: dict[str, dict[str, Any]] = {}
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        layer = encoder.layer_of(name.removeprefix(encoder_prefix)) if name in own else encoder.depth + 1
        decayed = parameter.ndim > 1 and not name.endswith(".bias") and name not in skipped
        key = ("" if layer_decay == 1 else f"layer_{layer}_") + ("decay" if decayed else "no_decay")
        scale = layer_decay ** (encoder.depth + 1 - layer)
        empty = {"params": [], "weight_decay": weight_decay if decayed else 0.0, "lr_scale": scale, "name": key}
        groups.setdefault(key, empty)["params"].append(parameter)
    return list(groups.values())
