"""One new file of every kind, each with the rows that use it: what a user would write, and nothing else."""

from __future__ import annotations

from pathlib import Path

NAMES = ("half", "two_layers", "contrast", "narrow_swin", "grey_levels", "mean_colour", "centroid", "drawn_squares")

FILES = {
    "masks/half.py": '''"""Half of the cells, drawn anew for every image."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from simmim.rng import KeyedGenerator


@dataclass(frozen=True)
class Half:
    """Hides every second cell of a random order.

    Args:
        spared: so many of them stay visible.
    """

    spared: int = 0

    def sample(self, n: int, grid: tuple[int, int], generator: KeyedGenerator) -> np.ndarray:
        """bool [n, *grid]."""
        rank = generator.uniform(grid[0] * grid[1]).argsort(axis=1).argsort(axis=1)
        hidden = max(1, grid[0] * grid[1] // 2 - self.spared)
        return (rank < hidden).reshape(n, *grid)
''',
    "heads/two_layers.py": '''"""Two 1x1 convolutions."""

from __future__ import annotations

from torch import Tensor, nn


class TwoLayers(nn.Module):
    """A hidden layer of `hidden` channels, then pixel shuffle."""

    def __init__(self, *, width: int, stride: int, channels: int, hidden: int = 8) -> None:
        super().__init__()
        layers = nn.Conv2d(width, hidden, 1), nn.GELU(), nn.Conv2d(hidden, channels * stride**2, 1)
        self.layers = nn.Sequential(*layers, nn.PixelShuffle(stride))

    def forward(self, features: Tensor) -> Tensor:
        """[b, width, h, w] -> [b, channels, h * stride, w * stride]."""
        return self.layers(features)
''',
    "targets/contrast.py": '''"""How far each pixel lies from the mean colour of its image."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor


@dataclass(frozen=True)
class Contrast:
    """Normalised pixels less their mean over the image, times `gain`."""

    image_channels: int
    gain: float = 1.0
    resolution_px: ClassVar[int | None] = None
    losses: ClassVar[tuple[str, ...]] = ("l1", "l2")
    in_pixel_units: ClassVar[bool] = False
    cell_multiple: ClassVar[int] = 1

    @property
    def channels(self) -> int:
        """One per channel of the images."""
        return self.image_channels

    def __call__(self, pixels: Tensor, normalised: Tensor) -> Tensor:
        """[b, c, H, W] -> the same shape."""
        return self.gain * (normalised - normalised.mean((2, 3), keepdim=True))

    def to_pixels(self, prediction: Tensor, normalised: Tensor, normalise: Callable[[Tensor], Tensor]) -> Tensor:
        """With the true mean colour."""
        return prediction / self.gain + normalised.mean((2, 3), keepdim=True)
''',
    "encoders/narrow_swin.py": '''"""A Swin of few channels."""

from __future__ import annotations

from collections.abc import Sequence

from simmim.encoders.swin import Swin as _Swin


class NarrowSwin(_Swin):
    """`Swin` with other defaults."""

    def __init__(
        self,
        *,
        image_px: tuple[int, int],
        in_channels: int = 3,
        patch_px: int = 2,
        embed_dim: int = 4,
        depths: Sequence[int] = (1, 1, 1, 2, 1),
        num_heads: Sequence[int] = (1, 1, 1, 2, 2),
        window: int = 4,
        drop_path: float = 0.0,
        clamp_window: bool = True,
        checkpoint_activations: bool = False,
    ) -> None:
        sizes = {"patch_px": patch_px, "embed_dim": embed_dim, "depths": depths, "num_heads": num_heads}
        rest = {"window": window, "drop_path": drop_path, "clamp_window": clamp_window}
        rest |= {"checkpoint_activations": checkpoint_activations}
        super().__init__(image_px=image_px, in_channels=in_channels, **sizes, **rest)
''',
    "tokenizers/grey_levels.py": '''"""Codes that are levels of grey."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from torch import Tensor, nn

from simmim.config.models import TokenizerConfig
from simmim.data.shards import Shards
from simmim.train.processes import Processes


class GreyLevels(nn.Module):
    """`levels` equal steps of brightness; nothing is learnt."""

    factor: ClassVar[int] = 1
    is_trained: ClassVar[bool] = False

    def __init__(self, *, levels: int = 4, file: str = "") -> None:
        super().__init__()
        self.codes = levels

    def fit(self, shards: Shards, config: TokenizerConfig, state: Path, processes: Processes) -> None:
        """Nothing to learn."""

    def load_published(self, path: Path) -> None:
        """Nothing to load."""

    def encode(self, images: Tensor) -> Tensor:
        """[b, 3, h, w] -> int64 [b, h, w]."""
        return (images.mean(1) * self.codes).long().clamp(0, self.codes - 1)

    def decode(self, codes: Tensor) -> Tensor:
        """[b, h, w] -> [b, 3, h, w]."""
        return ((codes + 0.5) / self.codes)[:, None].expand(-1, 3, -1, -1)
''',
    "methods/mean_colour.py": '''"""Predict the mean colour of an image."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from simmim import plugin
from simmim.config.sections import GeometrySection, ImagesSection
from simmim.data.shards import Shards
from simmim.data.views import View, ViewImages
from simmim.layers.normaliser import ImageNormaliser
from simmim.methods._method import Method
from simmim.plugin import Component


class MeanColour(Method):
    """Mean features -> mean colour of the crop, by the squared error times `weight`."""

    trained_encoder = kept_encoder = "encoder"
    kept_head = "head"

    def __init__(
        self, *, encoder: Component, geometry: GeometrySection, images: ImagesSection, weight: float = 1.0
    ) -> None:
        super().__init__()
        self.normalise = ImageNormaliser(images.mean, images.std)
        channels = self.normalise.channels
        self.encoder = plugin.build("encoders", encoder, image_px=geometry.image_px, in_channels=channels)
        self.encoder.mask_token.requires_grad_(False)
        self.head = nn.Linear(self.encoder.width, channels)
        self._weight, self._images, self._view = weight, images, View(geometry.image_px, blur=0.0)

    def forward(self, batch: Mapping[str, Tensor]) -> Tensor:
        """Mean squared error."""
        images = self.normalise(batch["crops"][:, 0])
        found = self.head(self.encoder(images).mean((2, 3)))
        return self._weight * (found - images.mean((2, 3))).square().mean()

    def dataset(self, shards: Shards, seed: int) -> ViewImages:
        """One view of every image."""
        return ViewImages(shards, {"crops": [self._view]}, self._images, seed, self.normalise.channels)
''',
    "data/sources/drawn_squares.py": '''"""Squares on grey."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass

from PIL import Image

from simmim.data.samples import RawSample


@dataclass(frozen=True)
class DrawnSquares:
    """`images` pictures of one square each."""

    images: int = 16

    def classes(self) -> list[str]:
        """None."""
        return []

    def fingerprint(self) -> str:
        """They are always the same."""
        return f"{self.images:064x}"

    def samples(self) -> Iterator[RawSample]:
        """A larger square each time."""
        for number in range(self.images):
            image, stream = Image.new("RGB", (64, 64), (90, 90, 90)), io.BytesIO()
            image.paste((200, 10 * number, 30), (8, 8, 16 + 2 * number, 16 + 2 * number))
            image.save(stream, "png")
            yield RawSample(f"{number}.png", stream.getvalue())
''',
    "evaluate/centroid/__init__.py": '"""Nearest class centroid."""\n',
    "evaluate/centroid/settings.py": '''"""Settings of the nearest class centroid."""

from __future__ import annotations

from typing import ClassVar

from simmim.evaluate.frozen_settings import FrozenSettings


class CentroidSettings(FrozenSettings):
    """Nearest class centroid; `power` is that of the distance."""

    label: ClassVar[str] = "nearest centroid"
    trains: ClassVar[bool] = False

    power: int = 2
''',
    "evaluate/centroid/task.py": '''"""Nearest class centroid on frozen features."""

from __future__ import annotations

import torch

from simmim.evaluate.feature_rows import rows_of_blocks
from simmim.evaluate.frozen_task import FrozenTask


class Centroid(FrozenTask):
    """The class whose mean feature is nearest."""

    def score(self, module, split):
        kept, held_out = self.parts
        return rows_of_blocks(self._all(kept, held_out), self._all(self.train, self.inputs.features[split]))

    def _all(self, bank, queries):
        return [self._accuracy(bank, queries, block) for block in range(len(bank.maps))]

    def _accuracy(self, bank, queries, block):
        found = bank.read(block)
        means = [found[bank.labels == each].mean(0) for each in range(len(self.inputs.classes))]
        nearest = torch.cdist(queries.read(block), torch.stack(means), p=self.inputs.settings.power).argmin(1)
        return 100 * (nearest == queries.labels).double().mean().item()
''',
    "report/tables/mine.py": """from simmim.report.measurements import measurement
from simmim.report.scale_facts import ResultFile
from simmim.report.table import Body, Line

title = "Top-5 of fine-tuning"
section = "A section of its own"


def needs(facts):
    return [ResultFile("evaluate", "default", "finetune"), ResultFile("evaluate", "default", "finetune")]


def make(results, facts):
    found = measurement(results.records, "default", "finetune", "top5")
    cells = {"run": "default", "top-5": found.text}
    return Body("Mine.", [Line(cells, "default", "finetune", "top5", None, {"top-5": found})])
""",
    "report/figures/mine.py": """from simmim.report.scale_facts import ResultFile

title = "Gradient norms"
section = "A section of its own"
description = "How large the gradients are."


def needs(facts):
    return [ResultFile("pretrain", "default")]


def make(results, facts):
    import matplotlib.pyplot as plt
    import seaborn as sns

    rows = results.records
    figure, axis = plt.subplots()
    sns.lineplot(rows[rows["metric"] == "grad_norm"], x="step", y="value", hue="seed", ax=axis)
    return figure, "One line per seed."
""",
}
# What a sheet or scale says about them: a row each, and for the encoder its name among those that the scale has.
PARTS = "mask=half mask.spared=1 head=two_layers head.hidden=6 target=contrast"
CODES = "target=tokens target.tokenizer=greys target.resolution_px=32 loss.name=cross_entropy"
ROWS = {
    "pretrain.tsv": f"new_parts\tswin_b_100ep\trole=pretrain_22k_ext encoder=narrow_swin {PARTS}\n"
    f"new_codes\tswin_b_100ep\t{CODES}\n"
    "new_method\tdino_vit_b\tmethod=mean_colour\n",
    "tokenizers.tsv": "greys\tgrey_levels\tlevels=5\n",
    "evaluate.tsv": "default\tcentroid\tcentroid\tsettings.power=3\n",
    "datasets.tsv": "drawn\ttrain\tdrawn_squares\t\timages=20\ndrawn\tval\tdrawn_squares\t\timages=8\n",
    "recipes/centroid.yaml": "stage: evaluate\ntask: centroid\nrole: classify\nsettings: {image_px: 192}\n",
}
RUNS = ("new_parts", "new_codes", "new_method")


def add_new_files(project: Path) -> None:
    """Write them into a copy of the project, with their rows and what its smoke scale says."""
    for name, text in FILES.items():
        path = project / "simmim" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    for name, text in ROWS.items():
        path = project / "config" / name
        path.write_text((path.read_text() if path.is_file() else "") + text)
    scale = project / "config" / "scales" / "smoke.yaml"
    text = scale.read_text().replace("encoders:\n", "encoders:\n  narrow_swin: {window: 4}\n")
    scale.write_text(text.replace("pretrain_22k_ext: earth_tiles", "pretrain_22k_ext: drawn"))
