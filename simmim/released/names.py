"""Parameter names of the released code and of our encoders, which carry timm's."""

from __future__ import annotations

import re
from collections.abc import Iterable

PREFIX = "encoder."
# Parts of the released models other than the encoder: the pixel head; norm and classifier of fine-tuned ones.
_DECODER, _HEADS = "decoder.", ("head.", "fc_norm.")
_IN_EVERY_ENCODER = "patch_embed.proj.weight"
_BUFFERS = "relative_position_index", "relative_coords_table", "attn_mask"


def our_name(name: str) -> str:
    """A released name -> ours: timm puts a patch merging into the stage after it, and SwinV2's bias MLP was renamed."""
    return _moved(name, 1).replace(".rpe_mlp.", ".cpb_mlp.")


def released_name(name: str) -> str:
    """Our name -> the one the released code has today."""
    return _moved(name, -1)


def current_name(name: str) -> str:
    """A released name as the released code has it today."""
    return released_name(our_name(name))


def is_buffer(name: str) -> bool:
    """Whether this entry is a table computed from window and input size, not a weight."""
    return name.endswith(_BUFFERS)


def prefix_of(names: Iterable[str]) -> str:
    """What encoder names begin with: "encoder." in a pre-training checkpoint, nothing in a fine-tuned one.

    Wrappers put their own before it ("module.encoder.") or in its place ("backbone.").

    Raises:
        ValueError: for the names of several encoders.
    """
    names = list(names)
    heads = (name.removesuffix(_IN_EVERY_ENCODER) for name in names if name.endswith(_IN_EVERY_ENCODER))
    found = sorted({head for head in heads if not head or head.endswith(".")})
    if len(found) > 1:
        listed = ", ".join(f"'{prefix}'" for prefix in found)
        raise ValueError(f"it holds {len(found)} encoders, whose names begin with {listed}; keep the entries of one")
    if found:
        return found[0]
    return PREFIX if any(name.startswith(PREFIX) for name in names) else ""


def wrapper_of(prefix: str) -> str:
    """The part of an encoder prefix that the released code would not have."""
    return prefix.removesuffix(PREFIX)


def is_left_aside(name: str, prefix: str) -> bool:
    """Whether this entry belongs to a part of the model that an encoder file does not hold, such as its head."""
    if name.removeprefix(prefix).startswith(_HEADS):
        return True
    if prefix.endswith(PREFIX):
        return name.startswith(wrapper_of(prefix) + _DECODER)
    return not name.startswith(prefix)


def _moved(name: str, stages: int) -> str:
    return re.sub(r"layers\.(\d+)\.downsample\.", lambda it: f"layers.{int(it[1]) + stages}.downsample.", name)
