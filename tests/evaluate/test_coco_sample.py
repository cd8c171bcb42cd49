"""The COCO protocol on genuine COCO images and JSON: trains from any encoder, overfits, and scores the truth as 1."""

import json
import os
from itertools import islice
from pathlib import Path

import pytest
import torch
from drawn_sets import HEADER
from evaluation_tasks import task_of
from pycocotools.coco import COCO
from test_coco_score import truth_as_detections

from simmim.config.models import PretrainConfig
from simmim.config.training import TrainSettings
from simmim.data import coco_objects
from simmim.data.packing import pack
from simmim.data.shards import Shards
from simmim.data.sources.coco import Coco
from simmim.evaluate.detect.coco_score import average_precision, ground_truth
from simmim.evaluate.detect.settings import DetectSettings
from simmim.pretraining.run import pretrain
from simmim.storage.encoder_file import load_encoder
from simmim.storage.identity import Identity
from simmim.train.loop import Run, fit
from simmim.train.parameter_groups import parameter_groups
from simmim.train.processes import Processes

DATA = Path(os.environ.get("SIMMIM_DEV_DATA", Path(__file__).parents[3] / "shared" / "data"))
SAMPLE = DATA / "coco_sample"
pytestmark = pytest.mark.skipif(
    not SAMPLE.is_dir(),
    reason=f"LOUD SKIP: {SAMPLE} with genuine COCO images is absent; SIMMIM_DEV_DATA names its folder",
)
MICRO = DetectSettings(
    image_px=160,
    scale_jitter=(1, 1),
    flip=0,
    fpn_channels=32,
    anchor_scale=4,
    anchors_per_image=64,
    proposals=60,
    rois_per_image=32,
    box_width=128,
    mask_width=32,
    mask_layers=2,
    score_batch=8,
)
ALONE = Processes(0, 1, torch.device("cpu"))


def genuine(split):
    return Coco(str(SAMPLE / f"{split}2017"), str(SAMPLE / f"annotations/instances_{split}2017.json"))


class LargeObjects:
    """The first eight images whose objects, no crowds among them, cover a tenth of the image each."""

    def classes(self):
        return genuine("train").classes()

    def fingerprint(self):
        return ""

    def samples(self):
        return islice(filter(self._is_wanted, genuine("train").samples()), 8)

    @staticmethod
    def _is_wanted(sample):
        entries, pixels = json.loads(sample.annotation), sample.image_px[0] * sample.image_px[1]
        return entries and all(not entry["iscrowd"] and entry["area"] >= pixels / 10 for entry in entries)


@pytest.fixture(scope="module")
def eight(tmp_path_factory) -> Shards:
    return packed(LargeObjects(), tmp_path_factory.mktemp("eight"))


def packed(source, folder):
    pack(source, folder, codec="original", shard_samples=50, short_side_px=None)
    return Shards(folder)


def trained(encoder, shards, state, settings=MICRO, **changes):
    """A detector trained as the protocol does, and its losses."""
    task = task_of("detect", settings, encoder, shards).module()
    groups = parameter_groups(task, "encoder.", 0.05, 1.0, encoder.no_weight_decay())
    training = {
        "batch": 4,
        "base_lr": 2e-3,
        "base_lr_batch": 4,
        "log_every_steps": 10,
        "save_every_steps": 5000,
    } | changes
    history = fit(
        task,
        task_of("detect", settings, shards=shards).dataset(),
        groups,
        TrainSettings(**training),
        Run(Identity({}, 0), state, "detect"),
        ALONE,
    ).history
    return task, [entry["loss"] for entry in history]


def test_the_truth_scores_1_on_genuine_annotations(tmp_path):
    shards = packed(genuine("val"), tmp_path)
    truth, found = ground_truth(shards), truth_as_detections(shards)
    objects = [one for one in truth.dataset["annotations"] if not one["iscrowd"]]
    found = [one | {"bbox": true["bbox"]} for one, true in zip(found, objects, strict=True)]  # not round whole pixels
    for kind in ("box", "mask"):
        values = {metric: value for metric, detail, value in average_precision(truth, found, kind) if not detail}
        assert values[f"{kind}_ap"] == pytest.approx(1) and values[f"{kind}_ar100"] == pytest.approx(1)


def test_genuine_masks_are_those_of_pycocotools(tmp_path):
    shards = packed(genuine("val"), tmp_path)
    theirs = COCO(str(SAMPLE / "annotations/instances_val2017.json"))
    for index, name in enumerate(islice(shards.ids, 30)):
        entries = coco_objects.objects(shards.annotation(index))
        masks = coco_objects.masks(entries, tuple(shards.sizes[index]))
        assert {theirs.anns[entry["id"]]["image_id"] for entry in entries} <= {int(Path(name).stem)}
        for entry, mask in zip(entries, masks):
            assert (mask == theirs.annToMask(theirs.anns[entry["id"]])).all()


def pretrained(shards, out, epochs):
    """A micro encoder after so many epochs of pre-training; with 0, as it was initialised."""
    sections = {
        "encoder": {
            "name": "swin",
            "patch_px": 4,
            "embed_dim": 24,
            "depths": [1, 1, 2],
            "num_heads": [2, 2, 2],
            "window": 4,
        },
        "geometry": {"image_px": [64, 64], "masked_patch_px": 16},
        "mask": {"name": "random"},
        "head": {"name": "linear"},
        "target": {"name": "pixels"},
        "images": HEADER,
        "train": {"epochs": epochs, "batch": 8, "base_lr": 1e-3, "base_lr_batch": 8, "log_every_steps": 5},
    }
    source = {"source": {"name": "coco", "images": "", "annotations": ""}, "numerics": 1}
    data = {split: {"dataset": "coco", "split": split} | source for split in ("train", "val")}
    config = PretrainConfig(scale="test", run="micro", numerics={}, data=data, **sections)
    pretrain(config, 0, {"train": shards.folder, "val": shards.folder}, out, ALONE)
    return load_encoder(out / "encoder.safetensors", (64, 64), clamp_window=False)[0]


@pytest.mark.slow
@pytest.mark.parametrize("epochs", [5, 0], ids=["pre-trained", "random"])
def test_trains_from_any_encoder(epochs, eight, tmp_path):
    encoder, small = pretrained(eight, tmp_path, epochs), MICRO.model_copy(update={"image_px": 64})
    _, losses = trained(encoder, eight, tmp_path / "state", small, epochs=20, micro_batch=2)  # two micro-batches a step
    assert losses[-1] < 0.8 * losses[0]


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_overfits_eight_images(eight, micro_swin, tmp_path):
    """About 75 seconds of one core with bfloat16; box AP 99 and mask AP 85 when this was written."""
    task, losses = trained(micro_swin(3, 160), eight, tmp_path, epochs=250, warmup_epochs=10, micro_batch=4)
    rows = {row[:2]: row[2] for row in task_of("detect", MICRO, shards=eight).score(task, "val")}
    assert losses[-1] < 0.2 * losses[0]
    assert rows["box_ap", ""] > 80
    assert rows["mask_ap", ""] > 80
