"""What lies at a path: splits under the names that people give them, and folders with odd names."""

import json
import tarfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from helpers.band_files import npy, scene
from source_files import png, write

from simmim.data.found import classes_at, images_at
from simmim.data.found_dense import label_maps_at, objects_at

FEATURES = {"label": {"names": ["cat", "dog"], "_type": "ClassLabel"}}
SPLITS = [
    ("train", "val"),
    ("Train", "Test"),
    ("TRAIN", "VALID"),
    ("Training", "Testing"),
    ("training_set", "test_set"),
    ("set_Train", "set_Val"),
]


def files(folder, *names):
    for name in names:
        path = Path(folder, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")


def class_folders(folder, *splits):
    files(folder, *(f"{split}/{name}/1.jpg" for split in splits for name in ("cat", "dog")))


def parquet(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    images = pa.array([{"bytes": b"x", "path": ""}] * 2)
    metadata = {"huggingface": json.dumps({"info": {"features": FEATURES}})}
    pq.write_table(pa.table({"image": images, "label": [0, 1]}).replace_schema_metadata(metadata), path)


def ids(found, row):
    return [sample.id for sample in found.source(row).samples()]


@pytest.mark.parametrize(("train", "val"), SPLITS)
def test_splits_are_no_classes(train, val, tmp_path):
    class_folders(tmp_path, train, val)
    files(tmp_path, ".ipynb_checkpoints/x", "__MACOSX/train/._x")
    found = classes_at(tmp_path)
    for row, split in ((found.train, train), (found.val, val)):
        assert row == ("image_folder", f"root=$data/{split} class_folders=true")
        assert found.source(row).classes() == ["cat", "dog"]
    files(tmp_path, *(f"{kind}/{split}/1.png" for kind in ("images", "annotations") for split in (train, val)))
    maps = label_maps_at(tmp_path)
    assert maps.train[1].endswith(f"split={train}") and maps.val[1].endswith(f"split={val}")


@pytest.mark.parametrize("junk", [".ipynb_checkpoints", "__MACOSX"])
def test_a_split_beside_what_a_system_left_there(junk, tmp_path):
    class_folders(tmp_path, "train")
    files(tmp_path, f"{junk}/train/._1.jpg")
    assert classes_at(tmp_path).train == ("image_folder", "root=$data/train class_folders=true")


@pytest.mark.parametrize(
    ("train", "other"), [("train", "dev"), ("train", "holdout"), ("train_images", "val_images"), ("train-1", "val-1")]
)
def test_a_split_with_a_name_of_its_own_is_refused(train, other, tmp_path):
    class_folders(tmp_path / "set", train, other)
    with tarfile.open(tmp_path / "set.tar", "w") as archive:
        archive.add(tmp_path / "set", "")
    for path in ("set", "set.tar"):
        with pytest.raises(ValueError, match=f"{train} and {other} .* both hold 'cat': they are splits, no classes"):
            classes_at(tmp_path / path)
    assert len(ids(images_at(tmp_path / "set"), images_at(tmp_path / "set").train)) == 4


def test_two_vehicles(tmp_path):
    files(tmp_path, "bus/red/1.jpg", "train/steam/1.jpg", "train/2.jpg", "bullet_train/1.jpg", "test_tube/1.jpg")
    assert classes_at(tmp_path).train == ("image_folder", "root=$data class_folders=true")


@pytest.mark.parametrize("year", [2014, 2017])
def test_objects_beside_captions_and_key_points(tmp_path, year):
    kinds = "captions", "instances", "person_keypoints"
    files(tmp_path, *(f"annotations/{kind}_{split}{year}.json" for kind in kinds for split in ("train", "val")))
    files(tmp_path, f"train{year}/1.jpg", f"val{year}/2.jpg")
    found = objects_at(tmp_path)
    assert found.train[1] == f"images=$data/train{year} annotations=$data/annotations/instances_train{year}.json"
    assert found.val[1] == f"images=$data/val{year} annotations=$data/annotations/instances_val{year}.json"


@pytest.mark.parametrize("names", [("train-00000-of-00002", "train-00001-of-00002", "test-00000-of-00001"),
                                   ("train", "test"), ("train-0", "validation-0", "test-0")])  # fmt: skip
def test_splits_in_parquet_files(names, tmp_path):
    for name in names:
        parquet(tmp_path / f"{name}.parquet")
    for found in (images_at(tmp_path), classes_at(tmp_path)):
        train, val = ({name.partition(".")[0] for name in ids(found, row)} for row in (found.train, found.val))
        assert train == {name for name in names if name.startswith("train")}
        assert val == {name for name in names if not name.startswith("train")} - {"test-0"}


def test_key_points_alone(tmp_path):
    files(tmp_path, "annotations/person_keypoints_train2017.json", "annotations/._person_keypoints_train2017.json")
    files(tmp_path, "train2017/1.jpg")
    row = objects_at(tmp_path).train[1]
    assert row == "images=$data/train2017 annotations=$data/annotations/person_keypoints_train2017.json"


def test_parquet_as_hubs_and_macos_leave_it(tmp_path):
    for name in ("train-00000-of-00001", "test-00000-of-00001"):
        parquet(tmp_path / f"data/{name}.parquet")
    files(tmp_path, "README.md", "data/._train-00000-of-00001.parquet", "photos/data/1.jpg")
    for found in (images_at(tmp_path), classes_at(tmp_path)):
        assert ids(found, found.train)[0] == "train-00000-of-00001.parquet:00000000"
        assert len(ids(found, found.val)) == 2
    assert ids(images_at(tmp_path / "photos"), images_at(tmp_path / "photos").train) == ["data/1.jpg"]


def test_files_that_are_splits_are_not_read_as_one_set(tmp_path):
    for name in ("train_0", "train_1", "test_0"):
        parquet(tmp_path / f"{name}.parquet")
    with pytest.raises(
        ValueError, match=r"train_0.parquet and test_0.parquet in .* are splits .* call them train.parq"
    ):
        classes_at(tmp_path)
    assert len(ids(images_at(tmp_path), images_at(tmp_path).train)) == 6


@pytest.mark.parametrize("name", ["set [1]", "*", "?", "set {a}", "a,b=c", "50%", "it's"])
def test_odd_names_are_names(name, tmp_path):
    for folder in (name, "b", "1"):
        parquet(tmp_path / folder / f"{folder}.parquet")
    for path in (tmp_path / name, tmp_path / name / f"{name}.parquet"):
        for found in (images_at(path), classes_at(path)):
            assert ids(found, found.train) == [f"{name}.parquet:00000000", f"{name}.parquet:00000001"]


def test_photos_beside_a_folder_called_train(tmp_path):
    files(tmp_path, *(f"{n}.JPG" for n in range(20)), "train/a.jpg", "README.md")
    found = images_at(tmp_path)
    assert found.train == ("image_folder", "root=$data") and found.words == "a folder of images"
    for photo in tmp_path.glob("*.JPG"):
        photo.unlink()
    assert images_at(tmp_path).train == ("image_folder", "root=$data/train")
    class_folders(tmp_path, "train")
    files(tmp_path, "1.png", "2.png")
    found = classes_at(tmp_path)
    assert found.train == ("image_folder", "root=$data/train class_folders=true")
    assert found.words == f"train of a folder of class folders (2 images in {tmp_path} itself left out)"


def test_what_no_split_holds_is_named(tmp_path):
    files(tmp_path, "train/1.png", "test/1.png", "unlabeled/1.png", "extra/1.png", "0.png", ".cache/1.png")
    left = f"extra, unlabeled, 1 image in {tmp_path} itself left out; for one of these folders give --data"
    assert images_at(tmp_path).words == f"a folder with train and test ({left} {tmp_path}/extra)"
    class_folders(tmp_path / "set", "train", "val", "test")
    left = f"test left out; for that give --data {tmp_path}/set/test"
    assert classes_at(tmp_path / "set").words == f"a folder with train and val ({left})"
    class_folders(tmp_path / "whole", "train", "val")
    files(tmp_path / "whole", "README.md")
    assert classes_at(tmp_path / "whole").words == "a folder with train and val"


def test_one_split_in_parquet_files_of_both_forms(tmp_path):
    for name in ("train", "train-2", "test", "training_notes", "unlabeled"):
        parquet(tmp_path / f"{name}.parquet")
    found = images_at(tmp_path)
    assert [{name.partition(".")[0] for name in ids(found, row)} for row in (found.train, found.val)] == [
        {"train", "train-2"},
        {"test"},
    ]
    assert found.words == "Parquet with train and test (training_notes, unlabeled left out)"


def coco_json(path, *names, first=""):
    images = [{"id": n, "file_name": name, "height": 8, "width": 6} for n, name in enumerate(names)]
    write(path, {"info": first, "annotations": [], "categories": [], "images": images})


@pytest.mark.parametrize(
    ("annotations", "name", "file", "folder"),
    [
        ("result.json", "images/0.jpg", "images/0.jpg", "$data"),  # Label Studio
        ("annotations/instances_train2017.json", "train2017/1.jpg", "train2017/1.jpg", "$data"),
        ("annotations/instances_train2017.json", "train2017/1.jpg", "images/train2017/1.jpg", "$data/images"),
        ("annotations/instances_train2017.json", "ä 1.jpg", "images/ä 1.jpg", "$data/images"),
        ("annotations/instances_train2017.json", "1.jpg", "train2017/2.jpg", "$data/train2017"),
    ],
)
def test_images_of_coco_lie_where_its_names_lead(annotations, name, file, folder, tmp_path):
    coco_json(tmp_path / annotations, "gone.jpg", name, first="file_name")
    files(tmp_path, file, "images/other.jpg", "train2017/other.jpg")
    assert objects_at(tmp_path).train == ("coco", f"images={folder} annotations=$data/{annotations}")


@pytest.mark.parametrize("name", ["_annotations.coco.json", "annotations.json", "labels.json"])
def test_a_split_of_coco_may_be_a_folder_of_images_and_a_json(name, tmp_path):
    files(tmp_path, "README.roboflow.txt", *(f"{split}/1.jpg" for split in ("train", "valid", "test")))
    for split in ("train", "valid", "test"):
        coco_json(tmp_path / split / name, "1.jpg")
    found = objects_at(tmp_path)
    assert found.train == ("coco", f"images=$data/train annotations=$data/train/{name}")
    assert found.val == ("coco", f"images=$data/valid annotations=$data/valid/{name}")
    files(tmp_path, "train/1.json")  # one an image: not COCO's
    with pytest.raises(ValueError, match="or one JSON in each of train/ and val/"):
        objects_at(tmp_path)


def test_an_unlabelled_test_folder_is_no_validation_split(tmp_path):
    """As of Kaggle's competitions: labels are to be predicted."""
    class_folders(tmp_path, "train")
    files(tmp_path, "test/1.jpg", "test/unknown/2.jpg")
    found = classes_at(tmp_path)
    assert found.train == ("image_folder", "root=$data/train class_folders=true") and found.val is None
    assert found.words == "train of a folder of class folders (test left out: no class folder of train is in it)"
    assert images_at(tmp_path).val == ("image_folder", "root=$data/test")
    class_folders(tmp_path, "valid")
    assert classes_at(tmp_path).val == ("image_folder", "root=$data/valid class_folders=true")


def test_images_without_label_maps_are_no_validation_split(tmp_path):
    files(tmp_path, "images/training/1.jpg", "images/testing/1.jpg", "annotations/training/1.png")
    found = label_maps_at(tmp_path)
    assert found.train == ("ade20k", "root=$data split=training") and found.val is None
    assert found.words == "ADE20K label maps (testing left out: there is no annotations/testing)"


def pictures(folder, *names):
    for name in names:
        write(folder / name, png())


@pytest.mark.parametrize("column", ["file_name", "image"])
def test_a_table_beside_photos(column, tmp_path):
    pictures(tmp_path, "1.png", "a/2.png")
    pq.write_table(pa.table({column: ["1.png"]}), tmp_path / "metadata.parquet")
    files(tmp_path, "z.parquet")
    assert images_at(tmp_path).train == ("image_folder", "root=$data")
    assert images_at(tmp_path / "metadata.parquet").train[0] == "hf_parquet"
    parquet(tmp_path / "shard.parquet")
    assert images_at(tmp_path).train[0] == "hf_parquet"


def test_a_table_without_photos_is_asked_for_its_images(tmp_path):
    pq.write_table(pa.table({"picture": [b""]}), tmp_path / "set.parquet")
    files(tmp_path, "README.md")
    found = images_at(tmp_path)
    with pytest.raises(ValueError, match="has no column 'image' or 'img', only \\['picture'\\]"):
        ids(found, found.train)


@pytest.mark.parametrize("other", ["README.txt", "A.xml", "0000.npy"])
def test_bands_are_of_the_first_file_that_is_an_image(tmp_path, other):
    content = np.lib.format.MAGIC_PREFIX + b"cut short" if other.endswith("npy") else b"text"
    for n in range(3):
        write(tmp_path / f"arrays/s{n}.npy", npy(scene(n, 4, 16, (8, 6))))
        write(tmp_path / f"pictures/s{n}.png", png(n))
    for folder in ("arrays", "pictures", "nothing"):
        write(tmp_path / folder / other, content)
        write(tmp_path / folder / "0" / "empty.png", b"")
    write(tmp_path / "pictures" / "t.npy", npy(scene(0, 4, 16, (8, 6))))
    assert str(images_at(tmp_path / "arrays").bands) == "4 bands of 16 bits"
    assert images_at(tmp_path / "pictures").bands is None
    assert images_at(tmp_path / "nothing").bands is None


@pytest.mark.parametrize("prefix", ["my photos", "./photos", "home/me/photos", "a lr=1"])
def test_a_tar_of_a_folder_of_class_folders(tmp_path, prefix):
    class_folders(tmp_path, "photos")
    with tarfile.open(tmp_path / "k.tar", "w") as archive:
        archive.add(tmp_path / "photos", prefix)
    found = classes_at(tmp_path / "k.tar")
    root = prefix.removeprefix("./")
    assert found.train == ("tar", f'archive=$data class_folders=true root="{root}"')
    assert found.source(found.train).classes() == ["cat", "dog"] and len(ids(found, found.train)) == 2
    assert images_at(tmp_path / "k.tar").train == ("tar", "archive=$data")


@pytest.mark.parametrize("names", [("photos/1.jpg",), ("photos/cat/1.jpg", "photos/2.jpg"), ("cat/1.jpg", "dog/1.jpg"),
                                   ("photos/cat/1.jpg", "README"), ('a"b/cat/1.jpg', 'a"b/dog/1.jpg')])  # fmt: skip
def test_other_tars_are_read_from_their_top(tmp_path, names):
    files(tmp_path / "set", *names)
    with tarfile.open(tmp_path / "k.tar", "w") as archive:
        archive.add(tmp_path / "set", "")
    assert classes_at(tmp_path / "k.tar").train == ("tar", "archive=$data class_folders=true")


def test_splits_inside_the_folder_of_a_tar_are_refused(tmp_path):
    class_folders(tmp_path, "set/train", "set/val")
    with tarfile.open(tmp_path / "k.tar", "w") as archive:
        archive.add(tmp_path / "set", "set")
    with pytest.raises(ValueError, match=r"train and val in .* both hold 'cat': they are splits"):
        classes_at(tmp_path / "k.tar")
