"""One evaluation from packed sets to records: frozen features over the seeds, and a further set beside the main one."""

import pytest
import torch
from drawn_sets import HEADER, draw, packed, png

from simmim.data.samples import RawSample
from simmim.encoders.swin import Swin
from simmim.evaluate.feature_sets import feature_config
from simmim.evaluate.features import write_features
from simmim.evaluate.job import evaluate
from simmim.storage import records
from simmim.storage.encoder_file import save_encoder
from simmim.train.processes import Processes

ALONE = Processes(0, 1, torch.device("cpu"))
SECTION = {"name": "swin", "patch_px": 8, "embed_dim": 8, "depths": [1, 1], "num_heads": [2, 2], "window": 4}
TRAIN = {"epochs": 1, "batch": 4, "base_lr": 1e-3, "precision": "fp32", "log_every_steps": 1, "save_every_steps": 9}
FINETUNE = {"image_px": 64, "score_batch": 4, "mixup": 0, "cutmix": 0, "auto_augment": ""}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("driver")
    for seed in range(2):
        torch.manual_seed(seed)
        encoder = Swin(image_px=(64, 64), **{key: value for key, value in SECTION.items() if key != "name"})
        header = HEADER | {"encoder": SECTION, "image_px": [64, 64], "in_channels": 3}
        save_encoder(folder / f"encoder{seed}.safetensors", encoder, header)
    for split, labels in {"train": (0, 1, 0, 1, 0, 1, 0, 1), "val": (0, 1, 1), "further": (1, 1)}.items():
        packed(folder / split, [RawSample(f"{n}.png", png(draw(n)[0]), label=label) for n, label in enumerate(labels)])
    return folder


def run(folder, out, task, settings, train, splits):
    config = {"scale": "smoke", "run": "micro", "evaluation": task, "task": task, "pretraining": "0", "encoder": {}}
    config |= {"settings": settings, "train": train, "seeds": 3, "numerics": {}, "config_hash": "0"}
    config["data"] = {split: {"dataset": f"{split}_set", "split": split} for split in splits}
    encoders, features = [folder / f"encoder{seed}.safetensors" for seed in range(2)], []
    for seed, file in enumerate(encoders if task in ("knn", "probe") else ()):
        folders = {split: out.parent / f"features{seed}" / split for split in ("train", "val")}
        for split, where in folders.items():
            write_features(feature_config(config, split), file, folder / split, where, ALONE)
        features.append(folders)
    evaluate(config, encoders, {split: folder / split for split in splits}, out, ALONE, features)
    return records.read([out]), records.metadata(out)


def test_seeds_read_the_features_of_their_encoder(folder, tmp_path):
    settings = {"image_px": 64, "score_crop": 1.0, "score_batch": 4, "held_out": 0.25, "neighbours": 3}
    found, _ = run(folder, tmp_path / "knn.parquet", "knn", settings, None, ("train", "val"))
    assert found["seed"].unique().tolist() == [0, 1, 2] and len(found[found["detail"] == "chosen"]) == 3


def test_a_further_set_is_scored_under_its_name(folder, tmp_path):
    found, metadata = run(folder, tmp_path / "a.parquet", "finetune", FINETUNE, TRAIN, ("train", "val", "further"))
    top1 = found[found["metric"] == "top1"]
    assert top1["detail"].tolist() == ["", "further_set"] * 3
    main, further = (top1[top1["detail"] == detail]["value"] for detail in ("", "further_set"))
    assert set((main * 3 / 100).round(4) % 1) == {0} and set(further) <= {0.0, 50.0, 100.0}
    assert set(metadata["data_digests"]) == {"train", "val", "further"}


def test_a_further_set_with_other_classes_is_refused(folder, tmp_path, monkeypatch):
    monkeypatch.setattr("drawn_sets.CLASSES", ["bar", "disc"])
    packed(tmp_path / "further", [RawSample("0.png", png(draw(0)[0]), label=0)])
    for split in ("train", "val"):
        (tmp_path / split).symlink_to(folder / split)
    for seed in range(2):
        (tmp_path / f"encoder{seed}.safetensors").symlink_to(folder / f"encoder{seed}.safetensors")
    with pytest.raises(ValueError, match="further have different classes: their order"):
        run(tmp_path, tmp_path / "a.parquet", "finetune", FINETUNE, TRAIN, ("train", "val", "further"))


@pytest.mark.parametrize(
    ("changes", "images"), [({}, 8), ({"labels_per_class": 1}, 2)], ids=["all labels", "one label a class"]
)
def test_a_fine_tuning_that_would_make_no_update_is_refused(folder, tmp_path, changes, images):
    with pytest.raises(ValueError, match=f"updates: {images} images x 1 epochs / batch 64 round to none"):
        run(folder, tmp_path / "a.parquet", "finetune", FINETUNE | changes, TRAIN | {"batch": 64}, ("train", "val"))
    assert not list(tmp_path.rglob("*.*"))


def test_a_probe_that_would_make_no_update_is_refused(folder, tmp_path):
    settings = {"image_px": 64, "score_crop": 1.0, "score_batch": 4, "held_out": 0.25, "neighbours": 3}
    with pytest.raises(ValueError, match="updates: 6 images x 1 epochs / batch 64 round to none"):
        run(folder, tmp_path / "a.parquet", "probe", settings, TRAIN | {"batch": 64}, ("train", "val"))
