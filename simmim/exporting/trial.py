"""An export counts once the library it is for has loaded it, by the lines in its card, and gives our features.

Shapes: b images, d channels, h w cells.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from simmim.storage.reading import one_line

FOLDER = "{folder}"  # stands for the folder of the export in the lines that load it


@dataclass(frozen=True)
class Draft:
    """An export that is written and not yet compared.

    Args:
        load: lines of Python that load it from FOLDER and give `features` of `images`.
        tolerance: largest difference of features that is accepted.
        normed: whether these features are those after the encoder's last norm, or those before pooling (timm).
        image_px: height and width of the input that both are compared on.
        remarks: sentences for the card.
    """

    load: str
    tolerance: float
    image_px: tuple[int, int]
    normed: bool = True
    remarks: tuple[str, ...] = ()


def difference(encoder: nn.Module, in_channels: int, draft: Draft, folder: Path, library: str) -> float:
    """Run the lines of a draft and return how far its features are from the encoder's, at most.

    Raises:
        ValueError: for lines that fail, and for features that differ by more than the tolerance.
    """
    images = torch.randn(2, in_channels, *draft.image_px, generator=torch.Generator().manual_seed(0))
    sized = copy.copy(encoder)
    sized.image_px = draft.image_px  # windows stay as they were built, whatever the input
    with torch.inference_mode():
        ours = sized(images) if draft.normed else sized.before_pooling(images)
    found: dict[str, Any] = {"images": images}
    try:
        with torch.no_grad():
            exec(draft.load.replace(FOLDER, str(folder)), found)  # our own lines, which the card repeats
    except Exception as error:  # whatever a library says of what it cannot load
        raise ValueError(f"{library} cannot load the export ({one_line(error)}); nothing is kept") from error
    theirs = as_map(torch.as_tensor(found["features"]), ours)
    far = (ours - theirs).abs().max().item() if theirs.shape == ours.shape else float("inf")
    if not far <= draft.tolerance:  # also when it is not a number
        raise ValueError(
            f"features of the export to {library} differ from the encoder's by {far:.1e} at {draft.image_px[0]} x "
            f"{draft.image_px[1]} px, allowed is {draft.tolerance:.0e}; nothing is kept"
        )
    return far


def as_map(features: Tensor, like: Tensor) -> Tensor:
    """Tokens [b, prefix + h * w, d] or a map with its channels last -> [b, d, h, w]."""
    if features.ndim == 3:
        height, width = like.shape[2:]
        return features[:, features.shape[1] - height * width :].transpose(1, 2).unflatten(2, (height, width))
    return features if features.shape == like.shape else features.permute(0, 3, 1, 2)


def contents(encoder: nn.Module) -> dict[str, Tensor]:
    """An encoder's state by timm's names, without the mask token."""
    state = {name.removeprefix("body."): value.detach().cpu() for name, value in encoder.state_dict().items()}
    return {name: value.contiguous() for name, value in state.items() if name != "mask_token"}


def filled(network: nn.Module, state: Mapping[str, Tensor], library: str) -> nn.Module:
    """A network of a library with a state, strictly; a ValueError where names or shapes differ."""
    try:
        network.load_state_dict(state, strict=True)
    except RuntimeError as error:
        raise ValueError(f"{library} has no counterpart of this encoder: {one_line(error)}") from error
    return network.eval()
