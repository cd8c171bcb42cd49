"""MoCo v3 (Chen et al., 2104.02057): tell an image's other view from all other images of the batch (Table 6)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn

from simmim.config.ranges import check_temperatures
from simmim.config.sections import GeometrySection, ImagesSection
from simmim.data.views import View
from simmim.layers.checkpointing import run_again
from simmim.methods._branch import Branch, TeacherMethod
from simmim.methods._lightly import MoCoProjectionHead, gather
from simmim.plugin import Component


class MoCoV3(TeacherMethod):
    """One step: each view's prediction is compared with what the slowly moving teacher makes of the other views.

    As published but for: the mean of the tokens in place of the class token; our ViT (relative positions) in place of
    theirs; scale and shift in the last batch normalisation of the heads, as lightly builds them. lightly's contrastive
    loss adds negatives of the same view, which MoCo v3 does not have, so the contrast is written out here.

    An image is contrasted with all images of the update, as published, whatever number of processes and micro-batches
    these are spread over: the encoder alone takes a micro-batch at a time. Its vectors, one an image, are gathered, and
    heads and contrast see the whole batch on every process, batch statistics included. With several micro-batches the
    student computes its activations twice, the second time for the gradient.

    Args:
        encoder: of student and teacher.
        geometry: height and width of both views; their scale is `images.crop_scale`.
        images: crops and channel statistics.
        outputs, hidden: sizes of the heads.
        momentum: of the teacher at the start; it rises to 1.
        temperature: of the contrast.
        freeze_patch_embed: keep the random patch embedding (section 4 there: training it makes the loss unstable).
    """

    kept_encoder, kept_head = "student.encoder", "student.head"
    whole_batch = True

    def __init__(
        self,
        *,
        encoder: Component,
        geometry: GeometrySection,
        images: ImagesSection,
        outputs: int = 256,
        hidden: int = 4096,
        momentum: float = 0.99,
        temperature: float = 0.2,
        freeze_patch_embed: bool = True,
    ) -> None:
        check_temperatures("method.temperature", temperature)
        looks = {"interpolation": "bilinear"}
        first = View(geometry.image_px, blur=1.0, **looks)
        second = View(geometry.image_px, blur=0.1, solarise=0.2, **looks)

        def head(width: int) -> MoCoProjectionHead:
            return MoCoProjectionHead(width, hidden, outputs, num_layers=3, batch_norm=True)

        super().__init__(encoder, geometry, images, views={"views": [first, second]}, head=head, momentum=momentum)
        self.predictor = MoCoProjectionHead(outputs, hidden, outputs, num_layers=2, batch_norm=True)
        self.temperature = temperature
        if freeze_patch_embed:
            _freeze_stem(self.student.encoder, encoder.name)

    def forward(self, batch: Mapping[str, Tensor]) -> Tensor:
        """Sum of both directions' contrast for a batch of `views`, uint8 [b, 2, c, H, W]."""
        views = batch["views"].unbind(1)  # 2 of [b, c, H, W]
        # Each view passes alone: batch normalisation must not mix them.
        guesses = [self.predictor(self._vectors(self.student, view)) for view in views]  # 2 of [all b, outputs]
        with torch.no_grad():
            keys = [self._vectors(self.teacher, view) for view in views]
        with torch.autocast(views[0].device.type, enabled=False):
            return sum(contrast(guess, key, self.temperature) for guess, key in zip(guesses, reversed(keys)))

    def _vectors(self, branch: Branch, view: Tensor) -> Tensor:
        """Vectors of a view of the images of all processes; those of process 0 come first."""
        parts = view.split(self.images_at_once or len(view))

        def features(part: Tensor) -> Tensor:
            return branch.features(self.normalise(part))

        several = len(parts) > 1  # activations of one micro-batch at a time: they are computed again for the gradient
        made = [run_again(features, branch.encoder, part) if several else features(part) for part in parts]
        return branch.head(_of_all_processes(torch.cat(made)))


def _freeze_stem(encoder: nn.Module, name: str) -> None:
    if not (stem := encoder.stem_parameters()):
        raise ValueError(
            f"encoder={name} does not say which parameters its patch embedding has (stem_parameters); give "
            "method.freeze_patch_embed=false"
        )
    for each in stem:
        encoder.get_parameter(each).requires_grad_(False)


def _of_all_processes(vectors: Tensor) -> Tensor:
    """[b, d] of each process -> [b * processes, d]; the gradient is the sum of what all processes make of it."""
    return torch.cat(gather(vectors.contiguous())) if dist.is_initialized() else vectors


def contrast(guesses: Tensor, keys: Tensor, temperature: float) -> Tensor:
    """2 T times the cross-entropy of finding one's own key among all keys (equation 1 there).

    Args:
        guesses, keys: [b, outputs]; row i of both belongs to the same image.
    """
    guesses, keys = F.normalize(guesses.float()), F.normalize(keys.float())
    own = torch.arange(len(guesses), device=guesses.device)
    return 2 * temperature * F.cross_entropy(guesses @ keys.T / temperature, own)
