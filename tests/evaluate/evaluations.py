"""Whole evaluations of small encoders on made-up sets, from the config to the records."""

import json

import numpy as np
import torch
from drawn_sets import HEADER, coco_object, draw, packed, png

from simmim import plugin
from simmim.config.evaluate_models import EvaluateConfig
from simmim.config.evaluation import features_config
from simmim.data.samples import RawSample
from simmim.evaluate.features import write_features
from simmim.evaluate.job import evaluate
from simmim.storage import records
from simmim.storage.encoder_file import save_encoder
from simmim.train.processes import Processes

ALONE = Processes(0, 1, torch.device("cpu"))
SWIN = {
    "name": "swin",
    "patch_px": 4,
    "embed_dim": 8,
    "depths": [1, 1, 2],
    "num_heads": [2, 2, 2],
    "window": 4,
    "clamp_window": False,
}
TRAIN = {
    "epochs": 5,
    "warmup_epochs": 1,
    "batch": 4,
    "micro_batch": 2,
    "base_lr": 1e-3,
    "base_lr_batch": 4,
    "precision": "fp32",
    "log_every_steps": 1,
    "save_every_steps": 100,
}
CLASSIFIER = {"image_px": 64, "score_batch": 3}
FROZEN = {"image_px": 64, "score_crop": 0.9, "score_batch": 3, "held_out": 0.25}
DETECTOR = {
    "image_px": 64,
    "scale_jitter": (0.8, 1.2),
    "fpn_channels": 16,
    "anchor_scale": 4,
    "anchors_per_image": 32,
    "proposals": 30,
    "rois_per_image": 16,
    "box_width": 16,
    "mask_width": 8,
    "mask_layers": 1,
    "score_threshold": 0.0,
}
SEGMENTER = {
    "image_px": 64,
    "scale_range": (0.6, 1.2),
    "decoder_channels": 16,
    "auxiliary_channels": 8,
    "score_scales": (1.0, 1.25),
    "score_flip": True,
}
# Small settings of every task and how it is trained; a task without an entry is tried with the defaults.
SMALL = {
    "finetune": (CLASSIFIER, TRAIN | {"layer_decay": 0.8}),
    "attentive": (CLASSIFIER | {"block": 3}, TRAIN),
    "linear_probe": (FROZEN, TRAIN | {"base_lr": 1e-1}),
    "knn": (FROZEN | {"neighbours": 3}, None),
    "mechanism": (CLASSIFIER | {"images": 4}, None),
    "detect": (DETECTOR, TRAIN),
    "segment": (SEGMENTER, TRAIN),
}


def small(task, settings=None, train=None, **changes) -> EvaluateConfig:
    """The config of a small evaluation with one seed; its data are those of `made_sets`."""
    traits = plugin.task_settings(task)
    usual, training = SMALL.get(task, ({"image_px": 64}, TRAIN if traits.trains else None))
    return evaluation(task, settings or usual, train or training, **changes)


def evaluation(task, settings, train, splits=("train", "val"), **changes) -> EvaluateConfig:
    """A config as sheets would make it."""
    source = {"source": {"name": "image_folder", "root": "drawn"}, "numerics": 1}
    data = {split: {"dataset": f"{split}_set", "split": split} | source for split in splits}
    whole = {"scale": "test", "run": "drawn", "evaluation": task, "task": task, "role": "classify", "data": data}
    whole |= {"pretraining": "0", "numerics": {}, "settings": settings, "train": train}
    return EvaluateConfig.model_validate(whole | changes)


def made_encoder(path, seed=0, section=SWIN, channels=3):
    """An encoder file with untrained weights."""
    torch.manual_seed(seed)
    component = plugin.Component.model_validate(section)
    encoder = plugin.build("encoders", component, image_px=(64, 64), in_channels=channels)
    header = {key: value[:channels] for key, value in HEADER.items()}
    save_encoder(path, encoder, header | {"encoder": section, "image_px": [64, 64], "in_channels": channels})
    return path


def made_sets(folder, dense="", sizes=(("train", 8, 0), ("val", 5, 50))):
    """Folders of packed sets by split: labelled images, or with "detect" or "segment" that task's annotations.

    Args:
        sizes: split, number of images and seed of the first of them.
    """
    made = {"": _labelled, "detect": _with_objects, "segment": _with_label_map}[dense]
    return {
        split: packed(folder / split, [made(number, first + number) for number in range(count)]).folder
        for split, count, first in sizes
    }


def made_for_every_task(folder, *sizes):
    """An encoder with shifted windows; by the kind of annotation, packed sets of these sizes (see `made_sets`)."""
    sets = {kind: made_sets(folder / (kind or "labels"), kind, sizes) for kind in ("", "detect", "segment")}
    return made_encoder(folder / "encoder.safetensors"), sets


def _labelled(number, seed):
    return RawSample(f"{number}.png", png(draw(seed)[0]), label=number % 2)


def _with_objects(number, seed):
    image, objects = draw(seed)
    entries = [coco_object(2 * number + place, *each) for place, each in enumerate(objects)]
    return RawSample(f"{number}.png", png(image), annotation=json.dumps(entries).encode())


def _with_label_map(number, seed):
    image, objects = draw(seed)
    labels = np.full(image.shape[:2], 1, dtype=np.uint8)
    labels[objects[1][1]] = 2
    labels[:2] = 0
    return RawSample(f"{number}.png", png(image), annotation=png(labels))


def extracted(config, encoders, data, out, processes=ALONE):
    """The folder of the frozen features that an evaluation reads, for each encoder."""
    if not config.settings.reads_features:
        return []
    folders = [out / encoder.stem for encoder in encoders]
    for encoder, folder in zip(encoders, folders):
        write_features(features_config(config), encoder, data, folder, processes)
    return folders


def evaluated(config, encoders, data, out, processes=ALONE):
    """The records of an evaluation and what is stored beside them."""
    features = extracted(config, encoders, data, out.parent / f"{out.stem}.features", processes)
    evaluate(config, encoders, data, out, processes, features)
    return records.read([out]), records.metadata(out)
