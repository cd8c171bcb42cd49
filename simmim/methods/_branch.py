"""What DINO and MoCo v3 share: a branch that turns views into vectors, and a teacher that follows its student.

Shapes: b images, v views, c channels, H W pixels, d channels of the encoder, k outputs of the head.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn


class Branch(nn.Module):
    """Encoder, mean over its tokens, head: [b, c, H, W] -> [b, k].

    The papers give the class token to the head. Here it is the mean, which every encoder has and which the linear probe
    of Table 6 reads too.
    """

    def __init__(self, encoder: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.encoder, self.head = encoder, head
        self.encoder.mask_token.requires_grad_(False)  # nothing is ever hidden

    def forward(self, images: Tensor) -> Tensor:
        """Vectors of normalised images."""
        return self.head(self.encoder(images).mean((2, 3)))


def student_and_teacher(make: Callable[[], Branch]) -> tuple[Branch, Branch]:
    """Two branches with the same start values, the second without gradients."""
    student, teacher = make(), make()
    teacher.load_state_dict(student.state_dict())
    return student, teacher.requires_grad_(False)


@torch.no_grad()
def follow(teacher: nn.Module, student: nn.Module, momentum: float) -> None:
    """teacher = momentum * teacher + (1 - momentum) * student, every parameter; equal ones stay equal bit by bit."""
    for theirs, mine in zip(teacher.parameters(), student.parameters(), strict=True):
        theirs.lerp_(mine, 1 - momentum)


def cosine_momentum(start: float, step: int, steps: int) -> float:
    """Momentum of the update after step (from 0) of a training: from `start` to 1 along half a cosine."""
    return 1 - (1 - start) * (1 + math.cos(math.pi * step / steps)) / 2


def view_by_view(views: Tensor) -> Tensor:
    """[b, v, c, H, W] -> [v * b, c, H, W], all images of the first view first."""
    return views.transpose(0, 1).flatten(0, 1)
