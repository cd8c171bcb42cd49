"""Source adapters on tiny data sets of the genuine layouts."""

import json
import os
import time

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from source_files import REAL, needs_real_data, packed, png, samples, source, write

from simmim import plugin


def test_every_adapter_is_found_by_its_name():
    known = ("ade20k", "coco", "hf_parquet", "image_folder", "image_list", "inaturalist", "tar")
    assert plugin.names("data.sources") == known
    for name in plugin.names("data.sources"):
        assert {"samples", "classes", "fingerprint"} <= set(dir(plugin.component("data.sources", name)))


class TestImageFolder:
    def test_without_classes(self, tmp_path):
        for name in ("b.png", "a/z.png", "a/b/c/deep.png", ".hidden.png", ".cache/x.png"):
            write(tmp_path / "set" / name, png())
        found = samples("image_folder", root=str(tmp_path / "set"))
        assert [sample.id for sample in found] == ["a/b/c/deep.png", "a/z.png", "b.png"]
        assert {sample.label for sample in found} == {None}
        assert source("image_folder", root=str(tmp_path / "set")).classes() == []

    def test_with_classes(self, tmp_path):
        for name in ("dog/1.png", "cat/deeper/2.png", "cat/1.png"):
            write(tmp_path / name, png())
        found = samples("image_folder", root=str(tmp_path), class_folders=True)
        assert [(sample.id, sample.label) for sample in found] == [
            ("cat/1.png", 0),
            ("cat/deeper/2.png", 0),
            ("dog/1.png", 1),
        ]
        assert source("image_folder", root=str(tmp_path), class_folders=True).classes() == ["cat", "dog"]

    def test_a_class_list_fixes_the_labels(self, tmp_path):
        write(tmp_path / "set/cat/1.png", png())
        write(tmp_path / "set/eel/1.png", png())
        write(tmp_path / "names.txt", b"dog\ncat\n")
        settings = {"root": str(tmp_path / "set"), "class_folders": True, "classes_file": str(tmp_path / "names.txt")}
        cat, eel = samples("image_folder", **settings)
        assert cat.label == 1 and eel.label is None and "eel is not in the class list" in eel.fault

    def test_whatever_is_no_image_ends_in_quarantine(self, tmp_path):
        root = tmp_path / "set"
        write(root / "good.png", png())
        write(root / "notes.txt", b"read me")
        write(root / "empty.png", b"")
        write(root / "new\nline.png", png(1))
        write(root / os.fsdecode(b"caf\xe9.png"), png(2))
        (root / "loop.png").symlink_to(root / "loop.png")
        (root / "nowhere.png").symlink_to(tmp_path / "absent.png")
        os.mkfifo(root / "pipe")
        shards, quarantine = packed(tmp_path, "image_folder", root=str(root))
        assert sorted(shards.ids) == ["caf\\xe9.png", "good.png", "new\nline.png"]
        reasons = {row["sample_id"]: row["reason"] for row in quarantine}
        assert set(reasons) == {"notes.txt", "empty.png", "loop.png", "nowhere.png", "pipe"}
        assert "not an image" in reasons["notes.txt"] and reasons["empty.png"] == "zero bytes"

    def test_stray_files_beside_class_folders_are_reported(self, tmp_path):
        write(tmp_path / "set/cat/1.png", png())
        write(tmp_path / "set/stray.png", png())
        shards, quarantine = packed(tmp_path, "image_folder", root=str(tmp_path / "set"), class_folders=True)
        assert shards.labels.tolist() == [0] and "beside the class folders" in quarantine[0]["reason"]

    def test_errors_name_the_path(self, tmp_path):
        with pytest.raises(ValueError, match="absent does not exist"):
            samples("image_folder", root=str(tmp_path / "absent"))
        write(tmp_path / "flat/1.png", png())
        with pytest.raises(ValueError, match=r"no class folders: put .* or set class_folders=false"):
            samples("image_folder", root=str(tmp_path / "flat"), class_folders=True)
        with pytest.raises(ValueError, match="did you mean 'class_folders'"):
            source("image_folder", root="x", class_folder=True)

    def test_numbered_folders_are_places_in_the_class_list(self, tmp_path):
        """In alphabetical order 10 comes before 2: the trap of ImageNet-V2."""
        names = [f"n{number:02}" for number in range(12)]
        write(tmp_path / "classes.txt", "\n".join(names).encode())
        for folder in ("0", "2", "10", "011", "12"):
            write(tmp_path / "set" / folder / "1.png", png())
        settings = {"root": str(tmp_path / "set"), "class_folders": True, "numbered_folders": True}
        with pytest.raises(ValueError, match="numbered_folders=true needs classes_file"):
            samples("image_folder", **settings)
        settings["classes_file"] = str(tmp_path / "classes.txt")
        found = {sample.id: sample.label for sample in samples("image_folder", **settings)}
        assert found == {"0/1.png": 0, "2/1.png": 2, "10/1.png": 10, "011/1.png": None, "12/1.png": None}
        assert source("image_folder", **settings).classes() == names

    @pytest.mark.parametrize("numbered", [False, True])
    def test_many_classes_cost_no_more_than_few(self, tmp_path, numbered):
        """A label is looked up: going through 8,142 species took 1 ms an image."""
        for number in range(1000):
            write(tmp_path / "set" / ("0" if numbered else "n0") / f"{number}.png", b"")
        settings = {"root": str(tmp_path / "set"), "class_folders": True, "numbered_folders": numbered}
        seconds = []
        for classes in (3, 10_000):
            names = "\n".join(f"n{number}" for number in reversed(range(classes)))
            write(tmp_path / f"{classes}.txt", names.encode())
            began = time.process_time()
            found = [*source("image_folder", **settings, classes_file=str(tmp_path / f"{classes}.txt")).samples()]
            seconds.append(time.process_time() - began)
            assert {sample.label for sample in found} == {0 if numbered else classes - 1}
        assert seconds[1] < 4 * seconds[0] + 0.1


def write_parquet(path, images, labels, column="image", names=("cat", "dog")):
    struct = [{"bytes": image, "path": f"{n}.png"} if image is not None else None for n, image in enumerate(images)]
    columns = {column: pa.array(struct, pa.struct([("bytes", pa.binary()), ("path", pa.string())]))}
    if labels:
        columns["label"] = pa.array(labels, pa.int64())
    features = {"label": {"names": list(names), "_type": "ClassLabel"}, column: {"_type": "Image"}}
    metadata = {"huggingface": json.dumps({"info": {"features": features}})} if names else None
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns).replace_schema_metadata(metadata), path)


class TestHfParquet:
    @pytest.mark.parametrize("column", ["image", "img"])
    def test_images_labels_and_classes(self, tmp_path, column):
        write_parquet(tmp_path / "train-0.parquet", [png(0), png(1)], [1, 0], column)
        write_parquet(tmp_path / "train-1.parquet", [png(2)], [-1], column)
        made = source("hf_parquet", files=str(tmp_path / "train-*.parquet"))
        found = list(made.samples())
        assert made.classes() == ["cat", "dog"]
        assert [sample.label for sample in found] == [1, 0, None]
        assert [sample.image for sample in found] == [png(0), png(1), png(2)]
        assert [sample.id for sample in found][1:] == ["train-0.parquet:00000001", "train-1.parquet:00000000"]

    @pytest.mark.parametrize("name", ["a[1].parquet", "*.parquet", "a*.parquet"])
    def test_brackets_of_a_path_that_is_there_are_no_pattern(self, tmp_path, name):
        (tmp_path / "photos [2024]").mkdir()
        write_parquet(tmp_path / "photos [2024]" / "a[1].parquet", [png(0)], [0])
        found = samples("hf_parquet", files=str(tmp_path / "photos [2024]" / name))
        assert [sample.id for sample in found] == ["a[1].parquet:00000000"]

    def test_rows_without_use_are_quarantined(self, tmp_path):
        write_parquet(tmp_path / "a.parquet", [png(0), None, b"", png(1)], [0, 0, 0, 5])
        shards, quarantine = packed(tmp_path, "hf_parquet", files=str(tmp_path / "a.parquet"))
        assert len(shards) == 1
        assert [row["reason"][:12] for row in quarantine] == ["the row hold", "the row hold", "label 5 is n"]

    def test_without_labels(self, tmp_path):
        write_parquet(tmp_path / "a.parquet", [png(0)], [], names=())
        made = source("hf_parquet", files=str(tmp_path / "a.parquet"), label_column="")
        assert made.classes() == [] and next(made.samples()).label is None

    def test_errors_name_the_file_and_the_way_out(self, tmp_path):
        write_parquet(tmp_path / "a.parquet", [png(0)], [0], names=())
        with pytest.raises(ValueError, match=r"a.parquet does not name the classes .* classes_file"):
            samples("hf_parquet", files=str(tmp_path / "a.parquet"))
        write(tmp_path / "names.txt", b"cat\ndog\n")
        settings = {"files": str(tmp_path / "a.parquet"), "classes_file": str(tmp_path / "names.txt")}
        assert samples("hf_parquet", **settings)[0].label == 0
        with pytest.raises(ValueError, match="has no column 'fine'"):
            samples("hf_parquet", **settings, label_column="fine")
        with pytest.raises(ValueError, match=r"no file matches .*b\.parquet"):
            samples("hf_parquet", files=str(tmp_path / "b.parquet"))
        write(tmp_path / "c.parquet", b"PAR1 not really")
        with pytest.raises(ValueError, match=r"c\.parquet is not a readable Parquet file"):
            samples("hf_parquet", files=str(tmp_path / "c.parquet"))
        write_parquet(tmp_path / "d.parquet", [png(0)], [0], column="picture")
        with pytest.raises(ValueError, match="no column 'image' or 'img'"):
            samples("hf_parquet", files=str(tmp_path / "d.parquet"))

    @needs_real_data
    def test_real_cifar10(self, tmp_path):
        made = source("hf_parquet", files=str(REAL / "cifar10/test.parquet"))
        classes = (REAL / "cifar10/classes.txt").read_text().split()
        assert made.classes() == classes
        for _, sample in zip(range(200), made.samples()):
            assert sample.image[:2] == b"\xff\xd8" and 0 <= sample.label < 10 and not sample.fault


def write_coco(folder, **changes):
    for number in (7, 3):
        write(folder / f"images/{number}.png", png(number))
    box = {"bbox": [1.0, 1.0, 2.0, 3.0], "area": 6.0, "iscrowd": 0, "segmentation": [[1, 1, 3, 1, 3, 4, 1, 4]]}
    document = {
        "images": [{"id": n, "file_name": f"{n}.png", "height": 8, "width": 6} for n in (7, 3)],
        "annotations": [
            {"id": 2, "image_id": 7, "category_id": 90} | box,
            {"id": 1, "image_id": 7, "category_id": 5} | box,
        ],
        "categories": [{"id": 90, "name": "late"}, {"id": 5, "name": "early"}],
    }
    write(folder / "instances.json", document | changes)
    return {"images": str(folder / "images"), "annotations": str(folder / "instances.json")}


class TestCoco:
    def test_categories_are_renumbered_and_empty_images_kept(self, tmp_path):
        settings = write_coco(tmp_path)
        assert source("coco", **settings).classes() == ["early", "late"]
        empty, full = samples("coco", **settings)
        assert (empty.id, json.loads(empty.annotation)) == ("3.png", [])
        assert [(one["id"], one["category_id"]) for one in json.loads(full.annotation)] == [(1, 1), (2, 2)]
        assert set(json.loads(full.annotation)[0]) == {"id", "category_id", "bbox", "area", "iscrowd", "segmentation"}
        assert full.image == png(7) and full.image_px == (8, 6)

    def test_missing_images_are_quarantined(self, tmp_path):
        settings = write_coco(tmp_path)
        (tmp_path / "images/7.png").unlink()
        shards, quarantine = packed(tmp_path, "coco", **settings)
        assert shards.ids == ["3.png"] and quarantine[0]["reason"] == "file is missing"

    def test_images_of_another_size_are_quarantined(self, tmp_path):
        settings = write_coco(tmp_path)
        write(tmp_path / "images/7.png", png(7, size=(6, 8)))
        _, quarantine = packed(tmp_path, "coco", **settings)
        assert "annotation was made for (8, 6)" in quarantine[0]["reason"]

    def test_file_names_cannot_lead_out(self, tmp_path):
        write(tmp_path / "secret.png", png())
        images = [{"id": 1, "file_name": name, "height": 8, "width": 6} for name in ("../secret.png",)]
        sample = samples("coco", **write_coco(tmp_path, images=images, annotations=[]))[0]
        assert not sample.image and "leads out" in sample.fault

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"images": [{"id": 3, "file_name": "3.png", "height": 8, "width": 6}]}, "annotation 2 names image 7"),
            ({"categories": [{"id": 5, "name": "early"}]}, "annotation 2 names category 90"),
            ({"categories": [{"id": 5, "name": "a"}, {"id": 5, "name": "b"}]}, "id 5 comes twice in categories"),
        ],
    )
    def test_dangling_references_are_named(self, tmp_path, changes, message):
        with pytest.raises(ValueError, match=message):
            samples("coco", **write_coco(tmp_path, **changes))

    def test_files_that_are_not_coco(self, tmp_path):
        settings = write_coco(tmp_path)
        write(tmp_path / "instances.json", {"images": []})
        with pytest.raises(ValueError, match="lacks annotations, categories"):
            samples("coco", **settings)
        write(tmp_path / "instances.json", b"{")
        with pytest.raises(ValueError, match="not valid JSON"):
            samples("coco", **settings)

    @needs_real_data
    def test_real_coco(self, tmp_path):
        split = REAL / "coco_sample"
        annotations = split / "annotations/instances_val2017.json"
        shards, quarantine = packed(tmp_path, "coco", images=str(split / "val2017"), annotations=str(annotations))
        assert (
            len(shards) == 100
            and len(shards.classes) == 80
            and not [q for q in quarantine if q["action"] != "converted"]
        )
        objects = [one for i in range(100) for one in json.loads(shards.annotation(i))]
        assert len(objects) == 712 and sum(one["iscrowd"] for one in objects) == 5
        assert {one["category_id"] for one in objects} <= set(range(1, 81))


def write_inaturalist(folder, **changes):
    names = {9: "train_val2018/Aves/7/a.png", 4: "train_val2018/Fungi/2/b.png"}
    for number, name in names.items():
        write(folder / name, png(number))
    document = {
        "images": [{"id": n, "file_name": name, "height": 8, "width": 6} for n, name in names.items()],
        "annotations": [{"id": 9, "image_id": 9, "category_id": 7}, {"id": 4, "image_id": 4, "category_id": 2}],
        "categories": [{"id": n, "name": name} for n, name in ((7, "late"), (2, "early"), (5, "unseen"))],
    }
    write(folder / "train2018.json", document | changes)
    return {"root": str(folder), "annotations": str(folder / "train2018.json")}


class TestInaturalist:
    def test_labels_count_along_the_categories_also_those_without_images(self, tmp_path):
        settings = write_inaturalist(tmp_path)
        assert source("inaturalist", **settings).classes() == ["early", "unseen", "late"]
        fungus, bird = samples("inaturalist", **settings)
        assert (fungus.id, fungus.label) == ("train_val2018/Fungi/2/b.png", 0)
        assert (bird.label, bird.image, bird.annotation, bird.fault) == (2, png(9), None, "")

    def test_what_has_no_label_or_no_file_is_quarantined(self, tmp_path):
        two = [{"id": n, "image_id": 9, "category_id": 7} for n in (1, 2)]
        settings = write_inaturalist(tmp_path, annotations=[*two, {"id": 3, "image_id": 4, "category_id": 2}])
        (tmp_path / "train_val2018/Fungi/2/b.png").unlink()
        assert [sample.label for sample in samples("inaturalist", **settings)] == [None, None]
        with pytest.raises(ValueError, match="2 of 2 samples are unusable"):
            packed(tmp_path, "inaturalist", **settings)
        reasons = [row["reason"] for row in pq.read_table(tmp_path / "packed/quarantine.parquet").to_pylist()]
        assert reasons == ["file is missing", "the JSON gives this image 2 labels, not one"]

    def test_dangling_references_and_paths_that_lead_out(self, tmp_path):
        with pytest.raises(ValueError, match="annotation 9 names category 7, which is not listed"):
            samples("inaturalist", **write_inaturalist(tmp_path, categories=[{"id": 2, "name": "early"}]))
        images = [{"id": 1, "file_name": "../secret.png", "height": 8, "width": 6}]
        sample = samples("inaturalist", **write_inaturalist(tmp_path, images=images, annotations=[]))[0]
        assert not sample.image and "leads out" in sample.fault
