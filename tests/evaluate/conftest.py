"""Small packed sets of drawn shapes and small encoders for the dense transfers."""

from __future__ import annotations

import json
from collections.abc import Callable

import numpy as np
import pytest
import torch
from drawn_sets import coco_object, draw, packed, png

from simmim.data.samples import RawSample
from simmim.data.shards import Shards
from simmim.encoders.swin import Swin


@pytest.fixture(scope="session")
def detection_shards(tmp_path_factory) -> Shards:
    """Four images of 64 x 64 with a disc and a bar each."""
    samples = []
    for seed in range(4):
        image, objects = draw(seed)
        entries = [coco_object(2 * seed + place, *each) for place, each in enumerate(objects)]  # ids from 0, as allowed
        samples.append(RawSample(f"{seed}.png", png(image), annotation=json.dumps(entries).encode()))
    return packed(tmp_path_factory.mktemp("detection"), samples)


@pytest.fixture(scope="session")
def segmentation_shards(tmp_path_factory) -> Shards:
    """Five such images with label maps; the frame of 2 pixels is ignored, the ground is a disc's class."""
    samples = []
    for seed in range(5):
        image, objects = draw(seed)
        labels = np.full(image.shape[:2], 1, dtype=np.uint8)
        labels[objects[1][1]] = 2
        labels[:2] = 0
        samples.append(RawSample(f"{seed}.png", png(image), annotation=png(labels)))
    return packed(tmp_path_factory.mktemp("segmentation"), samples)


@pytest.fixture
def micro_swin() -> Callable[..., Swin]:
    def build(stages: int = 3, image_px: int = 64) -> Swin:
        torch.manual_seed(0)
        return Swin(
            image_px=(image_px, image_px),
            embed_dim=24,
            depths=(1,) * (stages - 1) + (2,),
            num_heads=(2,) * stages,
            window=4,
            clamp_window=False,
        )

    return build
