"""The nearest of some hundred colours, as in iGPT (Chen et al., ICML 2020; section 4.1.5)."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from simmim.config.models import TokenizerConfig
from simmim.data.pretraining import whole_images
from simmim.data.shards import Shards
from simmim.rng import KeyedGenerator, epoch_order
from simmim.storage.reading import reading
from simmim.train.processes import Processes


class ColourClusters(nn.Module):
    """k-means centres of the colours of a data set.

    Args:
        clusters: number of centres.
        file: published centres, .npy of shape [clusters, 3] in [-1, 1], instead of fitted ones.
        images: how many images of the data set colours are drawn from.
        colours_per_image: how many of each.
        image_px: side of the square that an image is resized to before; colours are averages over its pixels.
    """

    factor: ClassVar[int] = 1
    is_trained: ClassVar[bool] = False

    def __init__(
        self,
        *,
        clusters: int = 512,
        file: str = "",
        images: int = 10_000,
        colours_per_image: int = 100,
        image_px: int = 48,
    ) -> None:
        super().__init__()
        if clusters < 2:
            raise ValueError(f"tokenizer setting clusters={clusters} must be at least 2")
        self._images, self._colours_per_image, self._image_px = images, colours_per_image, image_px
        self.register_buffer("centres", torch.zeros(clusters, 3))  # in [0, 1]

    @property
    def codes(self) -> int:
        """Number of centres."""
        return len(self.centres)

    def encode(self, images: Tensor) -> Tensor:
        """[b, 3, h, w] in [0, 1] -> number of the nearest centre, int64 [b, h, w]."""
        return torch.stack([self._nearest(image) for image in images])  # one by one: h * w * clusters distances

    def decode(self, codes: Tensor) -> Tensor:
        """[b, h, w] -> the centres, [b, 3, h, w]."""
        return self.centres[codes].permute(0, 3, 1, 2)

    def fit(self, shards: Shards, config: TokenizerConfig, state: Path, processes: Processes) -> None:
        """Run k-means on colours that are drawn per (seed, image).

        Raises:
            ValueError: when there are fewer different colours than clusters.
        """
        from sklearn.cluster import MiniBatchKMeans

        colours = self._sampled(shards, config.seed)
        different = len(np.unique(colours, axis=0))
        if different < self.codes:
            raise ValueError(f"{self.codes} clusters need as many different colours; {different} were drawn")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # remarks on threads and memory
            found = MiniBatchKMeans(self.codes, batch_size=4096, n_init=1, random_state=config.seed).fit(colours)
        self._set(found.cluster_centers_)

    def load_published(self, path: Path) -> None:
        """Take centres from a file.

        Raises:
            ValueError: when it does not hold [clusters, 3] numbers in [-1, 1].
        """
        with reading(path, "a .npy of numbers", "fetch it again"):
            centres = np.load(path, allow_pickle=False)
            values = centres.astype(float)
        if centres.shape != tuple(self.centres.shape) or not np.abs(values).max() <= 1:
            raise ValueError(
                f"{path} must hold centres of shape {tuple(self.centres.shape)} in [-1, 1], "
                f"it holds {centres.shape} {centres.dtype}"
            )
        self._set((values + 1) / 2)

    def _set(self, centres: np.ndarray) -> None:
        self.centres.copy_(torch.from_numpy(np.asarray(centres, np.float32)))

    def _nearest(self, image: Tensor) -> Tensor:
        pixels = image.flatten(1).T  # [h * w, 3]
        exact = "donot_use_mm_for_euclid_dist"  # the faster way rounds: a centre would not be nearest to itself
        return torch.cdist(pixels, self.centres, compute_mode=exact).argmin(1).view(image.shape[1:])

    def _sampled(self, shards: Shards, seed: int) -> np.ndarray:
        """Colours in [0, 1], float32 [images * colours_per_image, 3]."""
        chosen = np.sort(epoch_order(seed, 0, len(shards))[: self._images])
        side = self._image_px
        drawn = []
        for samples in np.array_split(chosen, -(-len(chosen) // 256)):
            pixels = whole_images(shards, samples, (side, side), 3).flatten(2).permute(0, 2, 1).numpy()  # [n, hw, 3]
            places = KeyedGenerator(seed, 0, samples, "colours").integers(self._colours_per_image) % side**2
            drawn.append(np.take_along_axis(pixels, places.astype(int)[:, :, None], axis=1).reshape(-1, 3))
        return np.concatenate(drawn).astype(np.float32) / 255
