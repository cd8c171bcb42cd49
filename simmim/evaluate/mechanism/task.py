"""The mechanism of an encoder: one pass forward of some images, seen from all of its blocks."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from simmim.data.classification import ScoringImages
from simmim.evaluate.fitting_parts import FittingParts, part_of
from simmim.evaluate.gather import gathered
from simmim.evaluate.mechanism.measures import cka
from simmim.evaluate.mechanism.observer import Observer
from simmim.evaluate.task import Row, Task
from simmim.layers.normaliser import ImageNormaliser
from simmim.rng import epoch_order
from simmim.train.processes import my_batches
from simmim.train.reading import read_ahead


class Mechanism(Task):
    """Nothing is trained: what is measured of every image is averaged, and blocks are compared over all of them."""

    def score(self, module: None, split: str) -> list[Row]:
        """Distance and mutual information of attention by block and head, amplitudes by block and frequency, CKA.

        The images are drawn by the seed: seeds of one encoder differ by them. Of an encoder without attention, or whose
        attention is not one map a block, there are amplitudes and CKA only.
        """
        inputs = self.inputs
        encoder = inputs.encoder.to(inputs.device).eval()
        observer = Observer(encoder, ImageNormaliser(inputs.header["mean"], inputs.header["std"]).to(inputs.device))
        if not observer.layouts:
            print(f"{type(encoder).__name__} has no attention map in every block: none is measured", flush=True)
        blank = torch.zeros(1, len(inputs.header["mean"]), *encoder.image_px, device=inputs.device)
        measured, _, features = observer.see(blank)
        table = self._table(observer, split)
        means = table[:, : len(measured)].mean(dim=0).tolist()
        blocks = table[:, len(measured) :].split([x.shape[1] for x in features], dim=1)
        return [(*name, value) for name, value in zip(measured, means)] + [*_pairs(cka(blocks))]

    def _table(self, observer: Observer, split: str) -> Tensor:
        """What is seen of every drawn image, in their order on any number of processes, float64."""
        inputs, settings = self.inputs, self.inputs.settings
        shards, channels = inputs.sets[split], len(inputs.header["mean"])
        images = ScoringImages(shards, settings.image_px, settings.score_crop, channels)
        chosen = np.sort(epoch_order(inputs.seed, 0, len(shards))[: settings.images])
        mine = [chosen[batch] for batch in my_batches(len(chosen), settings.score_batch)]
        seen: list[tuple[int, np.ndarray]] = []
        parts = FittingParts(settings.score_batch)
        for samples, batch in zip(mine, read_ahead(images, mine, inputs.device)):
            rows_of = functools.partial(observer.rows, batch["images"])
            for part, rows in parts.results(range(len(samples)), rows_of):
                seen += zip(part_of(samples, part).tolist(), rows.numpy())
        rows = [row for _, row in sorted(gathered(seen), key=lambda each: each[0])]
        return torch.from_numpy(np.stack(rows)).double()


def _pairs(similarity: Tensor) -> Iterator[Row]:
    """Rows of every two blocks; a block is like itself by definition."""
    for one, other in itertools.combinations(range(len(similarity)), 2):
        yield "cka", f"block {one + 1} block {other + 1}", float(similarity[one, other])
