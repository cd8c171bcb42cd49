"""Which of timm's families take mask tokens, where theirs go in, and how a model of one is built for a size."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import timm
from timm.models._registry import _model_to_module
from timm.models.swin_transformer import SwinTransformerBlock
from timm.models.swin_transformer_v2 import SwinTransformerV2Block
from torch import nn

from simmim.layers.swin_blocks import PadFirst, PadFirstBlock


@dataclass(frozen=True)
class Family:
    """What timm's models of one module have in common.

    Args:
        stem: modules that an image goes through before the first block; mask tokens replace outputs of the last.
        blocks: names of the blocks; the group, where there is one, is the stage.
        is_convolutional: takes inputs of any size, and keeps its channels in front.
        divides: its stride must divide the input.
        settings: further arguments of `timm.create_model`.
    """

    stem: tuple[str, ...]
    blocks: str
    is_convolutional: bool = False
    divides: bool = False
    settings: Mapping[str, Any] | None = None


_PLAIN = Family(("patch_embed",), r"blocks\.\d+", divides=True)
_WINDOWED = Family(("patch_embed",), r"layers\.(\d+)\.blocks\.\d+", settings={"strict_img_size": False})
_FAMILIES = {
    "beit": _PLAIN,
    "convnext": Family(("stem",), r"stages\.(\d+)\.blocks\.\d+", is_convolutional=True),
    "deit": _PLAIN,
    "eva": _PLAIN,
    "hiera": _PLAIN,
    "regnet": Family(("stem",), r"s(\d)\.b\d+", is_convolutional=True),
    "resnet": Family(("conv1", "bn1", "maxpool"), r"layer(\d)\.\d+", is_convolutional=True),
    "swin_transformer": _WINDOWED,
    "swin_transformer_v2": _WINDOWED,
    "vision_transformer": _PLAIN,
}
_NAMED = "swin_*, swinv2_* (not swinv2_cr_*), vit_*, deit*, beit*, eva*, hiera_*, convnext*, resnet* and regnet*"


class _PadFirstV2Block(PadFirst, SwinTransformerV2Block):
    """timm's SwinV2 block that pads first."""


_PAD_FIRST = {SwinTransformerBlock: PadFirstBlock, SwinTransformerV2Block: _PadFirstV2Block}


def supported_models() -> list[str]:
    """Names of timm's models that take mask tokens, without tags of published weights."""
    return sorted(name for name, module in _model_to_module.items() if module in _FAMILIES)


def family_of(model: str) -> Family:
    """The family of a model by its timm name.

    Raises:
        ValueError: for a name that timm does not have, with the nearest ones, and for a family without mask tokens.
    """
    if family := _FAMILIES.get(_model_to_module.get(model, "")):
        return family
    if model in _model_to_module:
        raise ValueError(f"timm's {model} takes no mask tokens; encoder=timm has {_NAMED}")
    near = difflib.get_close_matches(model.partition(".")[0], supported_models(), n=3)
    hint = f"; did you mean {' or '.join(near)}?" if near else f"; encoder=timm has {_NAMED}"
    raise ValueError(f"timm has no model '{model}'{hint}")


def build_body(model: str, image_px: tuple[int, int], in_channels: int, **settings: Any) -> nn.Module:
    """timm's model with fresh weights and without its classifier; windows are padded before they are shifted.

    Raises:
        ValueError: for an unknown model, or one that cannot be built with this input.
    """
    family = family_of(model)
    settings = {"num_classes": 0, "in_chans": in_channels} | body_settings(family, image_px) | settings
    try:
        body = timm.create_model(model, pretrained=False, **settings)
    except (AssertionError, TypeError, RuntimeError, ZeroDivisionError) as error:
        said = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(f"timm cannot build {model} for {image_px[0]} x {image_px[1]} px: {said}") from error
    if getattr(body, "attn_pool", None) is not None:
        raise ValueError(f"timm's {model} pools by attention, which pre-training would not train; take another vit")
    for block in body.modules():
        block.__class__ = _PAD_FIRST.get(type(block), type(block))
    if hasattr(body, "patch_embed") and hasattr(body, "layers"):
        body.patch_embed.dynamic_img_pad = True
    return body


def body_settings(family: Family, image_px: tuple[int, int]) -> dict[str, Any]:
    """Arguments of `timm.create_model` that fit a model of a family to an input."""
    return dict(family.settings or {}) | ({} if family.is_convolutional else {"img_size": list(image_px)})


def blocks_of(body: nn.Module, family: Family) -> Iterator[tuple[str, int]]:
    """Name and stage from 0 of every block in order; Hiera says where its stages end."""
    found = [re.fullmatch(family.blocks, name) for name, _ in body.named_modules()]
    ends = getattr(body, "stage_ends", ())
    stages: list[Any] = []
    for number, match in enumerate(filter(None, found)):
        stage = match.groups() or sum(number > end for end in ends)
        stages += [] if stage in stages else [stage]
        yield match[0], stages.index(stage)


def stem_of(body: nn.Module, family: Family) -> tuple[int, int]:
    """Side in pixels of a token, all strides of the stem together, and its channels."""
    parts = [part for name in family.stem for part in body.get_submodule(name).modules() if not list(part.children())]
    strides = [getattr(part, "stride", 1) for part in parts]
    token = math.prod(stride if isinstance(stride, int) else stride[0] for stride in strides)
    return token, [part.out_channels for part in parts if isinstance(part, nn.Conv2d)][-1]


def clamped_window(rows: int, grid: tuple[int, int], stage: int) -> tuple[int, int]:
    """The window of a position table with so many rows: timm clamps it to the map of its stage, axis by axis.

    Args:
        grid: rows and columns of the tokens that fit whole into the input, which is what timm goes by.
    """
    height, width = (math.ceil(side / 2**stage) for side in grid)
    windows = [(min(height, side), min(width, side)) for side in range(1, max(height, width) + 1)]
    return next(each for each in windows if (2 * each[0] - 1) * (2 * each[1] - 1) == rows)


def pretrained_windows(blocks: Sequence[nn.Module], stages: Sequence[int]) -> list[list[int]]:
    """The window of each stage that a SwinV2 measures its distances by; nothing of other models."""
    if not hasattr(getattr(blocks[0], "attn", None), "pretrained_window_size"):
        return []
    firsts = [blocks[stages.index(stage)] for stage in range(stages[-1] + 1)]
    sizes = [zip(each.attn.pretrained_window_size, each.window_size) for each in firsts]
    return [[given if given > 0 else own for given, own in pair] for pair in sizes]


def pooled_norm(body: nn.Module) -> nn.Module:
    """The norm that timm applies after pooling, where it has one."""
    places = getattr(body, "fc_norm", None), getattr(getattr(body, "head", None), "norm", None)
    return next((each for each in places if each is not None), nn.Identity())
