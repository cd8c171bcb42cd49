"""Own labelled data by one command: an encoder file in, a printed score out."""

import json
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.photos import write_photos
from PIL import Image

import simmim
from simmim.__main__ import main
from simmim.config.reading import parse_set
from simmim.data.found import classes_at
from simmim.data.index import read_index
from simmim.encoders.swin import Swin
from simmim.own.choices import Asked
from simmim.own.transferring import KINDS, Request, _image_px, _refuse_one_class, planned
from simmim.storage.encoder_file import save_encoder

SWIN = {"patch_px": 4, "embed_dim": 8, "depths": [1, 1, 1, 1], "num_heads": [1, 1, 2, 2], "window": 1}
CLASSES = "amber", "blue", "clay"


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    """The file of an encoder that has learnt nothing."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("encoder") / "encoder.safetensors"
    header = {"encoder": {"name": "swin"} | SWIN, "image_px": [32, 32], "in_channels": 3}
    header |= {"mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25]}
    save_encoder(path, Swin(image_px=(32, 32), **SWIN), header)
    return path


@pytest.fixture
def classes(tmp_path, monkeypatch):
    """Class folders, and the folder around them as the working directory."""
    monkeypatch.chdir(tmp_path)
    for hue, name in enumerate(CLASSES):
        write_photos(tmp_path / "classes" / name, 10, hue=hue)
    return tmp_path / "classes"


def test_a_fine_tuning_prints_its_accuracy_and_leaves_the_encoder(classes, encoder, capsys):
    options = [
        "finetune",
        "--data",
        "classes",
        "--encoder",
        str(encoder),
        "--out",
        "ft",
        "--epochs",
        "8",
        "--batch",
        "4",
    ]
    assert main(options) == 0
    said = capsys.readouterr().out
    assert "accuracy" in said and "always naming the commonest class gives" in said
    result = json.loads(Path("ft/result.json").read_text())
    assert result["numbers"]["top1"] >= 50 and f"{result['numbers']['top1']:.1f} %" in Path("ft/README.md").read_text()
    assert Path("ft/encoder.safetensors").read_bytes() != encoder.read_bytes()
    assert main(options) == 0 and "ft is finished" in capsys.readouterr().out
    assert main([*options, "--lr", "1"]) == 2 and "train.base_lr: " in capsys.readouterr().err


def test_a_split_that_is_there_is_used(classes, encoder, capsys):
    (classes.parent / "split").mkdir()
    classes.rename(classes.parent / "split" / "train")
    for hue, name in enumerate(CLASSES):
        write_photos(classes.parent / "split" / "val" / name, 2, hue=hue)
    result = simmim.knn(data="split", encoder=encoder, out="knn", set=["settings.neighbours=3"])
    said = capsys.readouterr().out
    assert "6 of them to look at, not to learn from (its own validation split)" in said
    assert "always naming the commonest class gives 33.3 %" in said and 0 <= result.numbers["top1"] <= 100
    assert not [*Path("knn/results").rglob("features/*/*.parquet")]


def test_a_probe_prints_the_accuracy_of_the_best_block(classes, encoder):
    result = simmim.probe(data=classes, encoder=encoder, out="probe", epochs=40)
    assert 1 <= result.numbers["chosen_block"] <= 4 and result.numbers["top1"] >= 50


def test_files_that_are_no_images_do_not_count(classes, encoder, capsys):
    for name in CLASSES:
        for number in range(3):
            (classes / name / f"notes{number}.png").write_text("no picture")
    simmim.knn(data=classes, encoder=encoder, out="knn")
    said = capsys.readouterr().out
    train, val = (read_index(Path("knn/results/own/data/images") / split)["samples"] for split in ("train", "val"))
    assert train + val == 30 and f"on {val} images that it has not seen" in said
    assert f"on {train} images of" in Path("knn/README.md").read_text()
    assert "samples are left out (quarantine.parquet lists them); the first is 'amber/notes" in said


def test_one_class_is_none_to_tell_apart(classes, encoder):
    for verb in (simmim.finetune, simmim.probe, simmim.knn):
        with pytest.raises(ValueError, match="has no class folders: put the images"):
            verb(data=classes / "amber", encoder=encoder, out="one")
    (classes.parent / "around").mkdir()
    classes.rename(classes.parent / "around" / "things")
    with pytest.raises(ValueError, match="has one class, things: a score needs two"):
        simmim.knn(data="around", encoder=encoder, out="one")


def test_one_class_in_a_tar_can_be_told_apart_once_it_is_unpacked(classes):
    with tarfile.open("one.tar", "w") as archive:
        archive.add(classes / "amber", "amber")
    with pytest.raises(ValueError, match=r"one.tar has one class, amber: a score needs two; unpack it, and give the"):
        _refuse_one_class(classes_at("one.tar"))


def test_the_path_of_an_encoder_may_look_like_settings(classes, encoder):
    path = classes.parent / "sweep lr=1" / "encoder.safetensors"
    path.parent.mkdir()
    path.hardlink_to(encoder)
    row = planned(Request("knn", classes, path, Asked(), ()), Path("knn")).draft.rows["pretrain"][0]
    assert parse_set(row["set"]) == {"init.encoder": str(path)}


def test_inputs_that_are_not_square_stay_so(classes, encoder, capsys):
    request = Request("finetune", classes, encoder, Asked(image_px=(32, 64)), ())
    assert planned(request, Path("ft")).draft.recipes["finetune"]["settings"]["image_px"] == [32, 64]
    header = {"image_px": [32, 64], "encoder": {"name": "swin"} | SWIN}
    sizes = [_image_px(KINDS[kind], header, Asked()) for kind in ("probe", "detect")]
    assert sizes == [[32, 64], 128]
    with pytest.raises(ValueError, match="--image-px 32x64: `simmim segment` trains on squares; give one number"):
        _image_px(KINDS["segment"], header, Asked(image_px=(32, 64)))


def write_objects(folder, split, count):
    """Pictures with a bright square each, in COCO's layout and in ADE20K's."""
    images, annotations = [], []
    write_photos(folder / "coco" / split, count, 64)
    for number in range(count):
        pixels = np.array(Image.open(folder / "coco" / split / f"{number}.png"))
        pixels[16:48, 16:48] = 255
        Image.fromarray(pixels).save(folder / "coco" / split / f"{number}.png")
        images.append({"id": number, "file_name": f"{number}.png", "height": 64, "width": 64})
        square = [16, 16, 48, 16, 48, 48, 16, 48]
        box = {"bbox": [16, 16, 32, 32], "area": 1024, "iscrowd": 0, "segmentation": [square]}
        annotations.append({"id": number + 1, "image_id": number, "category_id": 1} | box)
        for kind, picture in (("images", pixels), ("annotations", np.full((64, 64), 1, np.uint8))):
            place = folder / "ade" / kind / {"train": "training", "val": "validation"}[split]
            place.mkdir(parents=True, exist_ok=True)
            if kind == "annotations":
                picture[16:48, 16:48] = 2
            Image.fromarray(picture).save(place / f"{number}.png")
    document = {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "square"}]}
    (folder / "coco" / "annotations").mkdir(exist_ok=True)
    (folder / "coco" / "annotations" / f"instances_{split}.json").write_text(json.dumps(document))
    (folder / "ade" / "classes.txt").write_text("ground\nsquare\n")


SMALL_DETECTOR = [
    "fpn_channels=8",
    "box_width=16",
    "mask_width=8",
    "mask_layers=1",
    "rois_per_image=16",
    "proposals=30",
]
SMALL_SEGMENTER = ["decoder_channels=8", "auxiliary_channels=8"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("verb", "data", "settings", "score"),
    [("detect", "coco", SMALL_DETECTOR, "box AP"), ("segment", "ade", SMALL_SEGMENTER, "mean IoU")],
)
def test_dense_tasks_read_the_usual_layouts(tmp_path, monkeypatch, encoder, capsys, verb, data, settings, score):
    monkeypatch.chdir(tmp_path)
    write_objects(tmp_path, "train", 4)
    write_objects(tmp_path, "val", 2)
    row = [f"settings.{setting}" for setting in settings]
    options = ["--encoder", str(encoder), "--out", "out", "--epochs", "1", "--batch", "2", "--set", *row]
    assert main([verb, "--data", data, *options]) == 0
    said = capsys.readouterr().out
    assert score in said and "on 2 images that it has not seen" in said and "on 64 px" in said


MISTAKES = [
    (["finetune", "--data", "classes", "--encoder", "none"], "--encoder none does not exist"),
    (
        ["finetune", "--data", "classes", "--encoder", "classes"],
        "holds no encoder.safetensors; name a run folder",
    ),
    (["knn", "--data", "classes", "--encoder", "classes/blue/0.png"], "0.png"),
    (["finetune", "--data", "classes/blue", "--encoder", "ENCODER"], "has no class folders"),
    (["detect", "--data", "classes", "--encoder", "ENCODER"], "is not in COCO's layout: it needs annotations/"),
    (["segment", "--data", "classes", "--encoder", "ENCODER"], "is not in ADE20K's layout: it needs images/training"),
    (["finetune", "--data", "classes", "--encoder", "ENCODER", "--set", "settings.mixupp=1"], "did you mean"),
    (["probe", "--data", "classes", "--encoder", "ENCODER", "--set", "encoder.drop_path=-1"], "drop_path -1 must be"),
    (["finetune", "--data", "classes", "--encoder", "ENCODER", "--set", "seeds=3"], "seeds: this command trains once"),
]


@pytest.mark.parametrize(("options", "message"), MISTAKES)
def test_a_mistake_is_one_line_and_nothing_is_written(classes, encoder, capsys, options, message):
    words = [str(encoder) if word == "ENCODER" else word for word in options]
    assert main([*words, "--out", "out"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("simmim: error: ") and message in error and error.count("\n") == 1, error
    assert not Path("out").exists()
