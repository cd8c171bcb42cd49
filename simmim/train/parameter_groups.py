"""Groups for AdamW: which parameters decay, and layer-wise learning-rate decay (section 4.1, appendix A)."""

from __future__ import annotations

from typing import Any

from torch import nn


def parameter_groups(
    model: nn.Module,
    *,
    weight_decay: float,
    layer_decay: float = 1.0,
    pretraining: bool = False,
    encoder_prefix: str = "encoder.",
) -> list[dict[str, Any]]:
    """Split the trainable parameters of a model that holds an encoder.

    Not decayed: one-dimensional parameters, biases, and what the encoder names. In pre-training the encoder names less
    (position tables and the ViT's mask token decay), as in effect in the released code; the paper says nothing.

    Args:
        layer_decay: learning-rate factor from one layer to the one below; 1 = none. Parameters outside the encoder
            belong to the top layer, whose factor is 1.
        pretraining: which of the encoder's two lists of undecayed parameters holds.
        encoder_prefix: where the encoder is inside the model, "" for the model itself.

    Returns:
        Groups in order of first appearance: `params`, `weight_decay`, `lr_scale` (peak rate of the group over the base
        rate), `name` and `parameter_names`.
    """
    if not 0 < layer_decay <= 1:
        raise ValueError(f"layer_decay {layer_decay} must lie inside (0, 1]")
    encoder = model.get_submodule(encoder_prefix.rstrip("."))
    undecayed = {encoder_prefix + name for name in encoder.no_weight_decay(pretraining=pretraining)}
    groups: dict[str, dict[str, Any]] = {}
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        decayed = parameter.ndim > 1 and not name.endswith(".bias") and name not in undecayed
        layer = _layer(name, encoder, encoder_prefix)
        key = ("" if layer_decay == 1 else f"layer_{layer}_") + ("decay" if decayed else "no_decay")
        group = groups.setdefault(
            key,
            {
                "name": key,
                "weight_decay": weight_decay if decayed else 0.0,
                "lr_scale": layer_decay ** (encoder.depth + 1 - layer),
                "params": [],
                "parameter_names": [],
            },
        )
        group["params"].append(parameter)
        group["parameter_names"].append(name)
    return list(groups.values())


def _layer(name: str, encoder: nn.Module, prefix: str) -> int:
    """Layer of a parameter: 0 ... depth + 1; outside the encoder the top one."""
    return encoder.layer_of(name.removeprefix(prefix)) if name.startswith(prefix) else encoder.depth + 1
