"""Whole images that are cropped where they are used: the host copies bytes, and a GPU cuts, resizes and mirrors.

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
    """Images on their way to a device, where they become crops.

    Args:
        canvases: uint8 [n, H, W, c], each image in the upper left of one of a common size.
        boxes: top, left, height, width and 1 for mirrored, int64 [n, 5].
        image_px: height and width of the crops.
    """

    canvases: Tensor
    boxes: Tensor
    image_px: tuple[int, int]

    def pin_memory(self) -> UncutImages:
        """The same in memory from which copies do not wait; `torch.utils.data.DataLoader` asks for it."""
        return replace(self, canvases=self.canvases.pin_memory(), boxes=self.boxes.pin_memory())

    def to_device(self, device: torch.device) -> Tensor:
        """The crops uint8 [n, c, *image_px] on a device."""
        canvases, boxes = (each.to(device, non_blocking=True) for each in (self.canvases, self.boxes))
        (top, left, height, width, mirrored), (rows, columns) = boxes.unbind(1), self.image_px
        across = _filters(left, width, columns, canvases.shape[2])  # [n, columns, W]
        across = torch.where(mirrored.bool()[:, None, None], across.flip(1), across)
        down = _filters(top, height, rows, canvases.shape[1])  # [n, rows, H]
        pixels = canvases.permute(0, 3, 1, 2).float()  # [n, c, H, W]
        pixels = (pixels @ across[:, None].mT).round_()  # [n, c, H, columns]
        return (down[:, None] @ pixels).round_().clamp_(0, 255).to(torch.uint8)


def uncut(found: Sequence[tuple[Tensor, Crop]], image_px: tuple[int, int]) -> UncutImages:
    """Pictures uint8 [c, h, w] with what is to be cut from each."""
    images = [image for image, _ in found]
    height, width = (max(image.shape[axis] for image in images) for axis in (1, 2))
    canvases = torch.empty(len(images), height, width, len(images[0]), dtype=torch.uint8)
    for canvas, image in zip(canvases, images):
        canvas[: image.shape[1], : image.shape[2]] = image.permute(1, 2, 0)
    boxes = [(crop.top, crop.left, crop.height, crop.width, crop.flip) for _, crop in found]
    return UncutImages(canvases, torch.tensor(boxes, dtype=torch.int64), image_px)


def _filters(start: Tensor, length: Tensor, size: int, extent: int) -> Tensor:
    """What each of `size` places takes of `extent` pixels, of which `length` from `start` on, [n, size, extent]."""
    start, length = (each[:, None, None].float() for each in (start, length))
    pixel = torch.arange(extent, device=start.device) + 0.5  # centres
    scale = length / size
    centre = (torch.arange(size, device=start.device)[:, None] + 0.5) * scale + start
    weight = (1 - (pixel - centre).abs() / scale.clamp_min(1)).clamp_min(0)
    weight = weight * ((pixel > start) & (pixel < start + length))
    return weight / weight.sum(2, keepdim=True)
