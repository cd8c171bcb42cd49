"""Where the tokens stand that attend to each other, in every block of an encoder.

Letters: w windows of an image, n tokens of a window, h w' rows and columns of a block's map.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from simmim.layers.attention_maps import AttentionMaps
from simmim.layers.swin_blocks import PadFirst


class Layout(NamedTuple):
    """Tokens of a block's attention; a plain ViT has one window.

    Args:
        places: row and column of every token, in pixels of the input, float32 [w, n, 2].
        pairs: which tokens see each other and stand on the map, bool [w, n, n]; a class token and padding do not, and
            neither do tokens that only the cyclic shift of a Swin made neighbours see each other.
    """

    places: Tensor
    pairs: Tensor


@torch.inference_mode()
def layouts_of(encoder: nn.Module, channels: int) -> list[Layout]:
    """The layout of every block's attention, in order; none for an encoder whose blocks do not have one each.

    Args:
        encoder: on its device, in evaluation mode.
        channels: of its images.
    """
    shapes: list[torch.Size] = []
    image = torch.zeros(1, channels, *encoder.image_px, device=encoder.mask_token.device)
    with AttentionMaps(lambda weights, _: shapes.append(weights.shape)):
        grids = [(x.shape[2], x.shape[3]) for x in encoder.block_maps(image)]
    windowed = [module for module in encoder.modules() if isinstance(module, PadFirst)]
    if len(windowed) == len(grids) == len(shapes):
        return [_of_windows(block, grid, _token_px(encoder, grid)) for block, grid in zip(windowed, grids)]
    if len(grids) == len(shapes) and all(map(_is_global, shapes, grids)):
        return [_of_grid(shape[-1], grid, image.device, _token_px(encoder, grid)) for shape, grid in zip(shapes, grids)]
    return []


def _of_windows(block: nn.Module, grid: tuple[int, int], token_px: int) -> Layout:
    """The layout of a window block, by its own code: it is given a map on which every token says where it stands."""
    device = block.attn.proj.weight.device
    x = torch.zeros(1, *grid, block.dim, device=device)
    x[..., 0] = torch.arange(1, grid[0] + 1, device=device)[:, None]
    x[..., 1] = torch.arange(1, grid[1] + 1, device=device)
    given: dict[str, Any] = {}

    def take(module: nn.Module, inputs: Sequence[Tensor], named: Mapping[str, Any]) -> None:
        given.update(windows=inputs[0], mask=named["mask"])

    handle = block.attn.register_forward_pre_hook(take, with_kwargs=True)
    try:
        block._attn(x)
    finally:
        handle.remove()
    is_token = given["windows"][..., 0] > 0  # padding is zero
    pairs = is_token[:, :, None] & is_token[:, None]
    if given["mask"] is not None:
        pairs &= given["mask"] == 0
    return Layout(token_px * (given["windows"][..., :2] - 1), pairs)


def _is_global(shape: torch.Size, grid: tuple[int, int]) -> bool:
    """Whether weights are of one image, from all of its tokens to all of them."""
    return len(shape) == 4 and shape[0] == 1 and shape[2] == shape[3] >= math.prod(grid)


def _of_grid(tokens: int, grid: tuple[int, int], device: torch.device, token_px: int) -> Layout:
    """The layout of a plain ViT, where tokens that stand for no place come first: a class token, registers."""
    prefix = tokens - math.prod(grid)
    places = torch.zeros(1, tokens, 2, device=device)
    places[0, prefix:] = token_px * torch.cartesian_prod(*(torch.arange(side, device=device) for side in grid))
    is_token = torch.arange(tokens, device=device) >= prefix
    return Layout(places, (is_token[:, None] & is_token)[None])


def _token_px(encoder: nn.Module, grid: tuple[int, int]) -> int:
    """Side of a token of a block's map: the encoder's, doubled with every merge of neighbours."""
    return encoder.token * 2 ** round(math.log2(encoder.image_px[0] / (encoder.token * grid[0])))
