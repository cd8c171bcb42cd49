"""Segmentation of real road scenes (CamVid in ADE20K's layout): it trains, from any encoder, and can overfit."""

import dataclasses
import io
import itertools
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from drawn_sets import HEADER, png
from PIL import Image

from simmim import records
from simmim.config import Sheets
from simmim.data.packing import pack
from simmim.data.shards import Shards
from simmim.data.sources.ade20k import Ade20k
from simmim.encoders.swin import Swin
from simmim.evaluate import segment
from simmim.evaluate.dense_settings import SegmentSettings
from simmim.evaluate.driver import evaluate
from simmim.pretrain import pretrain
from simmim.train.processes import Processes

ROOT = Path(__file__).parents[2]
CAMVID = Path(os.environ.get("SIMMIM_DEV_DATA", ROOT.parent / "shared" / "data")) / "camvid"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not CAMVID.is_dir(), reason=f"LOUD SKIP: {CAMVID} is absent; SIMMIM_DEV_DATA names its parent"),
]
ALONE = Processes(0, 1, torch.device("cpu"))


class Scenes:
    """Every so many-th image of a split, or the window (left, top, right, bottom) of each."""

    def __init__(self, split: str, every: int, window: tuple[int, int, int, int] | None) -> None:
        self._source, self._every, self._window = Ade20k(str(CAMVID), split), every, window

    def classes(self):
        return self._source.classes()

    def samples(self):
        chosen = itertools.islice(self._source.samples(), 0, None, self._every)
        return map(self._cut, chosen) if self._window else chosen

    def _cut(self, sample):
        image, annotation = (
            png(np.asarray(Image.open(io.BytesIO(content)).crop(self._window)))
            for content in (sample.image, sample.annotation)
        )
        return dataclasses.replace(sample, image=image, annotation=annotation, image_px=None, origin="")


def packed(folder, split, every, window=None):
    pack(Scenes(split, every, window), folder, codec="png", shard_samples=64, short_side_px=None)
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
    """Windows of 128 x 128 from eight scenes with all eleven classes, one of them fence with 125 pixels in all."""
    shards = Shards(packed(tmp_path / "train", "training", 46, window=(176, 130, 304, 258)))
    assert len(shards) == 8
    settings = SegmentSettings(
        image_px=128, scale_range=(1, 1), flip=0, max_class_share=1, distort_colours=False, decoder_channels=48,
        auxiliary_channels=16, dropout=0, score_batch=8,
    )  # fmt: skip
    torch.manual_seed(0)
    encoder = Swin(
        image_px=(128, 128), patch_px=4, embed_dim=32, depths=(1, 1, 2), num_heads=(2, 4, 8), window=4,
        clamp_window=False,
    )  # fmt: skip
    task = segment.build_task(encoder, HEADER, settings, shards.classes)
    task.autocast_dtype = torch.bfloat16
    images = segment.dataset(shards, settings, 0, HEADER)
    overfit(task, images.__getitems__([(0, index) for index in range(8)]), steps=320, peak=4e-3)
    rows = {(metric, detail): value for metric, detail, value in segment.score(task, shards, settings, ALONE.device)}
    assert rows["miou", ""] > 80, rows


def overfit(task, batch, steps, peak):
    optimizer = torch.optim.AdamW(task.parameters(), fused=True)
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = peak * min(1, (step + 1) / 20) * (1 - step / steps)
        task(batch).backward()
        optimizer.step()
        optimizer.zero_grad()
