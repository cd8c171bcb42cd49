"""DINO (Caron et al., 2104.14294): a student predicts its slowly moving teacher across crops (Table 6)."""

from __future__ import annotations

import warnings
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from simmim.config.errors import located_at
from simmim.config.ranges import check_areas, check_share, check_temperatures
from simmim.config.sections import GeometrySection, ImagesSection
from simmim.data.views import View
from simmim.methods._branch import TeacherMethod, view_by_view
from simmim.methods._lightly import DINOLoss, DINOProjectionHead
from simmim.plugin import Component


class DINO(TeacherMethod):
    """One step: the teacher sees two large crops, the student those and several small ones.

    As published but for: the mean of the tokens in place of the class token; our ViT in place of theirs; a constant
    weight decay in place of a rising one; a teacher temperature and a last layer that change by steps, not by epochs.
    Schedules are shares of the whole training, so that they hold at any length.

    Args:
        encoder: of student and teacher; its drop path acts on the student only.
        geometry: height and width of the large crops; their scale is `images.crop_scale`.
        images: crops and channel statistics.
        local_crops: number of small crops, 0 for none.
        local_px: their side.
        local_scale: their area as a share of the image.
        outputs, hidden, bottleneck: sizes of the head.
        momentum: of the teacher at the start; it rises to 1.
        teacher_temperature: at the start and after `temperature_warmup` of the training, linear between.
        student_temperature: constant.
        last_layer_frozen: share of the training during which the head's last layer keeps its start values.
    """

    kept_encoder, kept_head = "teacher.encoder", "teacher.head"

    def __init__(
        self,
        *,
        encoder: Component,
        geometry: GeometrySection,
        images: ImagesSection,
        local_crops: int = 10,
        local_px: int = 96,
        local_scale: tuple[float, float] = (0.05, 0.25),
        outputs: int = 65_536,
        hidden: int = 2048,
        bottleneck: int = 256,
        momentum: float = 0.996,
        teacher_temperature: tuple[float, float] = (0.04, 0.07),
        temperature_warmup: float = 50 / 400,
        student_temperature: float = 0.1,
        last_layer_frozen: float = 3 / 400,
    ) -> None:
        check_temperatures("method.teacher_temperature", *teacher_temperature)
        check_temperatures("method.student_temperature", student_temperature)
        check_share("method.temperature_warmup", temperature_warmup)
        check_share("method.last_layer_frozen", last_layer_frozen)
        views = {
            "global": [View(geometry.image_px, blur=1.0), View(geometry.image_px, blur=0.1, solarise=0.2)],
        }
        if local_crops:
            with located_at(f"method.local_scale = {local_scale}"):
                check_areas(local_scale)
            views["local"] = [View((local_px, local_px), blur=0.5, crop_scale=tuple(local_scale))] * local_crops

        def head(width: int) -> DINOProjectionHead:
            with warnings.catch_warnings():  # lightly makes its last layer by torch's older weight_norm
                warnings.filterwarnings("ignore", ".*weight_norm. is deprecated", FutureWarning)
                return DINOProjectionHead(width, hidden, bottleneck, outputs)

        super().__init__(encoder, geometry, images, views=views, head=head, momentum=momentum)
        _check_local_crops(self.student.encoder, encoder.name, local_crops, local_px)
        self.loss = _Loss(outputs, student_temp=student_temperature)
        self.last_layer_frozen = last_layer_frozen
        self.teacher_temperature, self.temperature_warmup = teacher_temperature, temperature_warmup
        self._done = 0.0  # share of the training

    def train(self, mode: bool = True) -> DINO:
        """As any module, but the teacher never drops paths; its batch norms do as the student's, as published."""
        super().train(mode)
        self.teacher.eval()
        for norm in (module for module in self.teacher.modules() if isinstance(module, _BatchNorm)):
            norm.train(mode)
        return self

    def forward(self, batch: Mapping[str, Tensor]) -> Tensor:
        """Mean cross-entropy of a batch of `global` and maybe `local` views, uint8 [b, v, c, H, W]."""
        views = {name: self.normalise(view_by_view(batch[name])) for name in self.views}
        large = views["global"]
        taught = self._by_view(self.teacher(large), "global")
        guessed = [each for name, seen in views.items() for each in self._by_view(self.student(seen), name)]
        with torch.autocast(large.device.type, enabled=False):
            return self.loss(taught, guessed, teacher_temp=self.temperature)

    @property
    def temperature(self) -> float:
        """The teacher's temperature at this point of the training."""
        first, last = self.teacher_temperature
        share = min(1.0, self._done / self.temperature_warmup) if self.temperature_warmup else 1.0
        return first + (last - first) * share

    def after_update(self, step: int, steps: int) -> None:
        """Move teacher and centre; `step` updates of `steps` are done, the last one on the student."""
        if step <= self.last_layer_frozen * steps:
            restored = self.teacher.head.last_layer.weight_v  # has not moved either
            self.student.head.last_layer.weight_v.data.copy_(restored)
        super().after_update(step, steps)
        self.loss.move_center()
        self._done = step / steps

    def get_extra_state(self) -> Tensor:
        """The share of the training that is done, as a tensor: checkpoints hold nothing else."""
        return torch.tensor(self._done, dtype=torch.float64)

    def set_extra_state(self, state: Tensor) -> None:
        """Go on where a checkpoint stood."""
        self._done = float(state)

    def _by_view(self, vectors: Tensor, group: str) -> list[Tensor]:
        return list(vectors.float().chunk(len(self.views[group])))  # each [b, outputs]


def _check_local_crops(encoder: nn.Module, name: str, crops: int, px: int) -> None:
    if crops < 0:
        raise ValueError(f"method.local_crops {crops} must be at least 0")
    if not crops or (px > 0 and encoder.takes((px, px))):
        return
    fitting = [side for side in range(1, max(encoder.image_px) + 1) if encoder.takes((side, side))]
    nearest = sorted(sorted(fitting, key=lambda side: abs(side - px))[:2])
    height, width = encoder.image_px
    raise ValueError(
        f"method.local_px {px}: this {name} of {height} x {width} px does not take crops of {px} x {px} px; nearest "
        f"that fit: {' and '.join(map(str, nearest)) or 'none'} (method.local_crops=0 does without)"
    )


class _Loss(DINOLoss):
    """The loss with a centre that moves once per update, whatever number of micro-batches an update has."""

    def __init__(self, outputs: int, student_temp: float) -> None:
        super().__init__(outputs, student_temp=student_temp)
        self._seen: list[Tensor] = []

    def update_center(self, teacher_out: Tensor) -> None:
        self._seen.append(teacher_out.detach().mean((0, 1), keepdim=True))  # [1, 1, outputs]

    def move_center(self) -> None:
        """Take the mean of the update's micro-batches, of all processes, into the centre."""
        super().update_center(torch.cat(self._seen))
        self._seen.clear()
