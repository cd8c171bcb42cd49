"""Crops that are made where they are used: the host copies the bytes of each box, a GPU resizes and mirrors.

The same antialiased triangle filter as on the host, as two matrix products an image: one along the columns, whose
result is rounded to 8 bits, then one along the rows. One value in fifty differs from the host's crops, by one grey
level (two in one of 100,000): the host's weights have 16 bits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from simmim.data.crops import Crop


@dataclass(frozen=True)
class UncutImages:
    """Parts of pictures on their way to a device, where they become crops of one size.

    Args:
        pixels: of all parts one after another, uint8 [sum of their heights x widths x c].
        boxes: height and width of each part, and 1 for mirrored, int64 [n, 3].
        channels: c.
        image_px: height and width of the crops.
    """

    pixels: Tensor
    boxes: Tensor
    channels: int
    image_px: tuple[int, int]

    def pin_memory(self) -> UncutImages:
        """The same in memory from which copies do not wait; `torch.utils.data.DataLoader` asks for it."""
        return replace(self, pixels=self.pixels.pin_memory(), boxes=self.boxes.pin_memory())

    def to_device(self, device: torch.device) -> Tensor:
        """The crops uint8 [n, c, *image_px] on a device."""
        largest = self.boxes[:, :2].amax(0).tolist()  # on the host, which need not wait for it
        pixels, boxes = (each.to(device, non_blocking=True) for each in (self.pixels, self.boxes))
        (height, width, mirrored), (rows, columns) = boxes.unbind(1), self.image_px
        across = _filters(width, columns, largest[1])  # [n, columns, W]
        across = torch.where(mirrored.bool()[:, None, None], across.flip(1), across)
        canvases = self._canvases(pixels, height, width, largest).float()  # [n, c, H, W]
        canvases = (canvases @ across[:, None].mT).round_()  # [n, c, H, columns]
        crops = _filters(height, rows, largest[0])[:, None] @ canvases
        return crops.round_().clamp_(0, 255).to(torch.uint8)

    def _canvases(self, pixels: Tensor, height: Tensor, width: Tensor, largest: list[int]) -> Tensor:
        """Each part in the upper left of a canvas of the largest height and width, uint8 [n, c, H, W].

        What lies beside a part is anything; no filter reaches it.
        """
        size = height * width * self.channels
        row, column, channel = (torch.arange(n, device=pixels.device) for n in (*largest, self.channels))
        start = (size.cumsum(0) - size)[:, None, None, None] + channel[:, None, None]  # [n, c, 1, 1]
        place = start + (row[:, None] * width[:, None, None, None] + column) * self.channels  # [n, c, H, W]
        return pixels[place.clamp_(max=len(pixels) - 1)]


def uncut(found: Sequence[tuple[Tensor, Crop]], image_px: tuple[int, int]) -> UncutImages:
    """Pictures uint8 [c, h, w] with what is to be cut from each."""
    boxes = torch.tensor([(crop.height, crop.width, crop.flip) for _, crop in found], dtype=torch.int64)
    channels = len(found[0][0])
    pixels = torch.empty(channels * int(boxes[:, :2].prod(1).sum()), dtype=torch.uint8)
    end = 0
    for image, crop in found:
        begin, end = end, end + channels * crop.height * crop.width
        part = image[:, crop.top : crop.top + crop.height, crop.left : crop.left + crop.width]
        pixels[begin:end].view(crop.height, crop.width, channels).copy_(part.permute(1, 2, 0))
    return UncutImages(pixels, boxes, channels, image_px)


def _filters(length: Tensor, size: int, extent: int) -> Tensor:
    """What each of `size` places takes of `extent` pixels, of which the first `length` count, [n, size, extent]."""
    length = length[:, None, None].float()
    pixel = torch.arange(extent, device=length.device) + 0.5  # centres
    scale = length / size
    centre = (torch.arange(size, device=length.device)[:, None] + 0.5) * scale
    weight = (1 - (pixel - centre).abs() / scale.clamp_min(1)).clamp_min(0) * (pixel < length)
    return weight / weight.sum(2, keepdim=True)
