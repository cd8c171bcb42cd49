"""Segmentation of real road scenes (CamVid in ADE20K's layout): it trains, from any encoder, and can overfit."""

import dataclasses
import io
import itertools
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from drawn_sets import png
from evaluation_tasks import task_of
from PIL import Image

from simmim.config.sheets import Sheets
from simmim.data.packing import pack
from simmim.data.shards import Shards
from simmim.data.sources.ade20k import Ade20k
from simmim.encoders.swin import Swin
from simmim.evaluate.job import evaluate
from simmim.evaluate.segment.settings import SegmentSettings
from simmim.pretraining.run import pretrain
from simmim.storage import records
from simmim.train.processes import Processes

ROOT = Path(__file__).parents[2]
CAMVID = Path(os.environ.get("SIMMIM_DEV_DATA", ROOT.parent / "shared" / "data")) / "camvid"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not CAMVID.is_dir(), reason=f"LOUD SKIP: {CAMVID} is absent; SIMMIM_DEV_DATA names its parent"),
]
ALONE = Processes(0, 1, torch.device("cpu"))


class Scenes:
    """Every so many-th image of a split, as it is or at another size (width, height)."""

    def __init__(self, split: str, every: int, size: tuple[int, int] | None) -> None:
        self._source, self._every, self._size = Ade20k(str(CAMVID), split), every, size

    def classes(self):
        return self._source.classes()

    def fingerprint(self):
        return ""

    def samples(self):
        chosen = itertools.islice(self._source.samples(), 0, None, self._every)
        return map(self._resized, chosen) if self._size else chosen

    def _resized(self, sample):
        image, annotation = (
            png(np.asarray(Image.open(io.BytesIO(content)).resize(self._size, by)))
            for content, by in ((sample.image, Image.Resampling.BOX), (sample.annotation, Image.Resampling.NEAREST))
        )
        return dataclasses.replace(sample, image=image, annotation=annotation, image_px=None, origin="")


def packed(folder, split, every, size=None):
    pack(Scenes(split, every, size), folder, codec="png", shard_samples=64, short_side_px=None)
    return folder


@pytest.mark.parametrize("run, epochs", [("default", 4), ("random_swin", 0)])
def test_trains_from_a_pretrained_and_from_a_random_encoder(tmp_path, run, epochs):
    data = {"train": packed(tmp_path / "train", "training", 23), "val": packed(tmp_path / "val", "validation", 84)}
    sheets = Sheets(ROOT / "config")
    start = sheets.pretraining("smoke", run)
    start = start | {"train": start["train"] | {"epochs": epochs, "warmup_epochs": 0}}
    pretrain(start, 0, data, tmp_path / "pretrain", ALONE)
    config = sheets.evaluation("smoke", run, "segment")
    config = config | {"train": config["train"] | {"epochs": 20, "base_lr": 3e-3, "log_every_steps": 8}}
    config["train"] |= {"save_every_steps": 80}
    evaluate(config, [tmp_path / "pretrain" / "encoder.safetensors"], data, tmp_path / "segment.parquet", ALONE)
    rows = records.read([tmp_path / "segment.parquet"])
    losses = rows[rows["metric"] == "train_loss"]["value"].tolist()
    assert losses[-1] < 0.85 * losses[0]
    scores = rows[rows["detail"] == ""].set_index("metric")["value"]
    assert scores["pixel_accuracy"] > 30 and 0 < scores["miou"] < 100 and 0 < scores["miou_single_scale"] < 100


def test_overfits_eight_images(tmp_path):
    """Eight whole scenes at a third of their size with all eleven classes, one of them poles of a pixel's width."""
    shards = Shards(packed(tmp_path / "train", "training", 46, size=(160, 120)))
    assert len(shards) == 8
    settings = SegmentSettings(
        image_px=120,
        scale_range=(1, 1),
        flip=0,
        max_class_share=1,
        distort_colours=False,
        decoder_channels=64,
        auxiliary_channels=16,
        dropout=0,
        score_batch=8,
    )
    torch.manual_seed(0)
    encoder = Swin(
        image_px=(120, 120),
        patch_px=4,
        embed_dim=32,
        depths=(1, 1, 2),
        num_heads=(2, 4, 8),
        window=4,
        clamp_window=False,
    )
    task = task_of("segment", settings, encoder, shards).module()
    task.autocast_dtype = torch.bfloat16
    overfit(task, task_of("segment", settings, shards=shards).dataset(), steps=900, peak=4e-3)
    rows = {
        (metric, detail): value
        for metric, detail, value in task_of("segment", settings, shards=shards).score(task, "val")
    }
    assert rows["miou", ""] > 80, rows


def overfit(task, images, steps, peak):
    optimizer = torch.optim.AdamW(task.parameters(), fused=True)
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = peak * min(1, (step + 1) / 20) * (1 - step / steps)
        task(images.__getitems__([(step, index) for index in range(len(images))])).backward()
        optimizer.step()
        optimizer.zero_grad()
