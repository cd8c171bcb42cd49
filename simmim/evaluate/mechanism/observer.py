"""One pass forward of some images, and what is seen of it in every block."""

from __future__ import annotations

from contextlib import nullcontext
from typing import NamedTuple

import torch
from torch import Tensor, nn

from simmim.evaluate.fitting_parts import part_of
from simmim.evaluate.mechanism import measures
from simmim.evaluate.mechanism.layout import layouts_of
from simmim.layers.attention_maps import AttentionMaps
from simmim.layers.normaliser import ImageNormaliser
from simmim.train.reading import to_device

Name = tuple[str, str]  # metric, part


class Seen(NamedTuple):
    """What is seen of b images.

    Args:
        measured: names of what is measured of each of them.
        values: float32 [b, m], these.
        features: of every block its output averaged over the tokens, float32 [b, d].
    """

    measured: list[Name]
    values: Tensor
    features: list[Tensor]


class Observer:
    """Passes images through an encoder.

    Args:
        encoder: on its device, in evaluation mode.

    Attributes:
        layouts: of the attention in every block, empty where it cannot be measured.
    """

    def __init__(self, encoder: nn.Module, normalise: ImageNormaliser) -> None:
        self._encoder, self._normalise = encoder, normalise
        self.layouts = layouts_of(encoder, normalise.channels)

    @torch.inference_mode()
    def see(self, images: Tensor) -> Seen:
        """What is seen of normalised images."""
        found: dict[Name, Tensor] = {}

        def take(weights: Tensor, number: int) -> None:
            attention = measures.among_tokens(weights, self.layouts[number])
            for measure in (measures.attention_distance, measures.attention_nmi):
                heads = measure(attention, self.layouts[number]).unbind(dim=1)
                found.update({(measure.__name__, f"block {number + 1} head {h}"): x for h, x in enumerate(heads, 1)})

        features = []
        with AttentionMaps(take) if self.layouts else nullcontext():
            for block, x in enumerate(self._encoder.block_maps(images), 1):
                amplitudes = measures.fourier_log_amplitude(x).unbind(dim=1)
                for share, values in zip(measures.diagonal_frequencies(*x.shape[2:]), amplitudes):
                    found["fourier_log_amplitude", f"block {block} frequency {share:.3g}"] = values
                features.append(x.float().mean(dim=(2, 3)))
        measured = sorted(found, key=lambda name: name[0])
        return Seen(measured, torch.stack([found[name] for name in measured], dim=1), features)

    @torch.inference_mode()
    def rows(self, images: Tensor, chosen: range) -> Tensor:
        """Values and features side by side, float32 [b, m + sum of d], of some images as they are stored."""
        seen = self.see(self._normalise(to_device(part_of(images, chosen), self._normalise.device)))
        return torch.cat([seen.values, *seen.features], dim=1).cpu()  # one wait for all
