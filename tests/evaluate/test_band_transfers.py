"""Encoders of 13 bands and 96 x 160 px in use: fine-tuned, and read for their features, also at another size."""

import pandas as pd
import pytest
import torch
from evaluations import FROZEN, TRAIN, extracted, small
from helpers.band_files import npy, packed_folder, scene, write

from simmim import plugin
from simmim.config.datasets import check_channels
from simmim.config.errors import DoesNotFit
from simmim.config.evaluation import features_config
from simmim.config.models import DataConfig
from simmim.evaluate.finetune.settings import FinetuneSettings
from simmim.evaluate.finetune.task import Finetune
from simmim.evaluate.job import evaluate
from simmim.plugin import Component
from simmim.storage import records
from simmim.storage.encoder_file import load_encoder, save_encoder
from simmim.train.processes import Processes

ALONE = Processes(0, 1, torch.device("cpu"))
SIZE, OTHER = (96, 160), (128, 64)
ENCODERS = {
    "swin": {"patch_px": 4, "embed_dim": 8, "depths": [1, 1, 2], "num_heads": [1, 2, 2], "window": 6},
    "swin_v2": {"patch_px": 4, "embed_dim": 8, "depths": [1, 1, 2], "num_heads": [1, 2, 2], "window": 6},
    "vit": {"patch_px": 16, "embed_dim": 16, "depth": 2, "num_heads": 2},
    "resnet": {"stem_width": 4, "depths": [1, 1, 1], "width_factor": 1},
}


@pytest.fixture(scope="module")
def sets(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scenes")
    for split, count in (("train", 8), ("val", 4)):
        files = {f"{'ab'[n % 2]}/{n}.npy": npy(scene(n, 13)) for n in range(count)}
        packed_folder(write(folder / f"in_{split}", files), folder / split, 13)
    return {split: folder / split for split in ("train", "val")}


def saved(path, name):
    torch.manual_seed(0)
    section = {"name": name} | ENCODERS[name]
    encoder = plugin.build("encoders", Component.model_validate(section), image_px=SIZE, in_channels=13)
    header = {"encoder": section, "image_px": SIZE, "in_channels": 13, "mean": [0.2] * 13, "std": [0.05] * 13}
    save_encoder(path, encoder, header)
    return path


@pytest.mark.parametrize("name", ENCODERS)
def test_an_encoder_is_fine_tuned_and_its_features_are_read(tmp_path, sets, name):
    file = saved(tmp_path / "encoder.safetensors", name)
    settings = {"image_px": SIZE, "score_crop": 1.0, "auto_augment": "", "score_batch": 4}
    tuned = small("finetune", settings, TRAIN | {"epochs": 2, "micro_batch": 4, "layer_decay": 0.8})
    evaluate(tuned, [file], sets, tmp_path / "finetune.parquet", ALONE)
    neighbours = small("knn", FROZEN | {"image_px": SIZE, "neighbours": 3})
    folders = extracted(neighbours, [file], sets, tmp_path)
    evaluate(neighbours, [file], sets, tmp_path / "knn.parquet", ALONE, folders)
    found = pd.concat([records.read([tmp_path / f"{task}.parquet"]) for task in ("finetune", "knn")])
    assert found[found["metric"] == "top1"]["value"].between(0, 100).all() and set(found["evaluation"]) >= {"knn"}
    assert features_config(neighbours).name.startswith("96x160px_")
    other, header = load_encoder(file, OTHER)
    assert other(torch.zeros(1, 13, *OTHER)).shape[2:] == (OTHER[0] // other.stride, OTHER[1] // other.stride)
    assert header["image_px"] == list(OTHER)


def test_augmentation_of_colours_is_refused_before_anything_is_trained():
    with pytest.raises(
        ValueError, match=r"auto_augment=rand.* images have 13 channels: set settings.auto_augment=\"\""
    ):
        Finetune.check_encoder(None, 13, FinetuneSettings())
    Finetune.check_encoder(None, 1, FinetuneSettings())


@pytest.mark.parametrize(
    ("pack", "channels", "is_measured", "words"),
    [
        ({}, 13, False, "13 channels needs a data set packed band by band.*pack.bands=13"),
        ({}, 3, True, "images.mean=measured needs a data set packed band by band"),
        ({"bands": 13, "bits": 16}, 3, False, "pack.bands=13 and read as 3 channels: set images.channels=13"),
    ],
)
def test_runs_and_data_sets_must_have_the_same_bands(pack, channels, is_measured, words):
    made = {"dataset": "scenes", "split": "train", "source": {"name": "image_folder"}, "pack": pack, "numerics": 1}
    with pytest.raises(DoesNotFit, match=words):
        check_channels({"train": DataConfig.model_validate(made)}, channels, is_measured)
