"""What DINO and MoCo v3 share: branches that turn views into vectors, and a teacher that follows its student.

Shapes: b images, v views, c channels, H W pixels, d channels of the encoder, k outputs of the head.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn

from simmim import plugin
from simmim.config.ranges import check_share
from simmim.config.sections import GeometrySection, ImagesSection
from simmim.data.shards import Shards
from simmim.data.views import View, ViewImages
from simmim.layers.normaliser import ImageNormaliser
from simmim.methods._method import Method
from simmim.plugin import Component


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
        return self.head(self.features(images))

    def features(self, images: Tensor) -> Tensor:
        """What the head is given, [b, d]."""
        return self.encoder(images).mean((2, 3))


class TeacherMethod(Method):
    """A student that is trained on views of each image, and a teacher, its moving average, that says what they are.

    Args:
        encoder: of both.
        geometry: height and width of the largest views.
        images: crops and channel statistics.
        views: groups of views by name; the views of a group have one size.
        head: channels of the encoder -> a new head, [b, channels] -> [b, k].
        momentum: of the teacher at the start; it rises to 1.
    """

    trained_encoder = "student.encoder"
    has_teacher = True

    def __init__(
        self,
        encoder: Component,
        geometry: GeometrySection,
        images: ImagesSection,
        *,
        views: Mapping[str, Sequence[View]],
        head: Callable[[int], nn.Module],
        momentum: float,
    ) -> None:
        super().__init__()
        check_share("method.momentum", momentum, "the teacher that it keeps at an update")
        if images.channel_count not in (1, 3):
            raise ValueError(
                f"images.channels={images.channel_count}: views of dino and moco_v3 are recoloured, which takes RGB or "
                "grey; use method=simmim"
            )
        self.normalise = ImageNormaliser(images.mean, images.std)
        self.views, self.momentum, self._images = views, momentum, images

        def branch() -> Branch:
            in_channels = self.normalise.channels
            made = plugin.build("encoders", encoder, image_px=geometry.image_px, in_channels=in_channels)
            return Branch(made, head(made.width))

        self.student, self.teacher = branch(), branch()
        self.teacher.load_state_dict(self.student.state_dict())
        self.teacher.requires_grad_(False)

    def dataset(self, shards: Shards, seed: int) -> ViewImages:
        """The views that the method compares."""
        return ViewImages(shards, self.views, self._images, seed, self.normalise.channels)

    def after_update(self, step: int, steps: int) -> None:
        """Move the teacher; `step` updates of `steps` are done."""
        follow(self.teacher, self.student, cosine_momentum(self.momentum, step - 1, steps))


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
