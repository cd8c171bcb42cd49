"""Source adapters on tiny data sets of the genuine layouts."""

import io
import json
import os
import struct
import tarfile
import zlib
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from simmim import plugin
from simmim.data.dense import SegmentationSet
from simmim.data.shards import Shards, pack

REAL = Path(os.environ.get("SIMMIM_DEV_DATA", Path(__file__).parents[3] / "shared" / "data"))
needs_real_data = pytest.mark.skipif(
    not REAL.is_dir(), reason=f"LOUD SKIP: {REAL} with real CIFAR-10 and COCO is absent; SIMMIM_DEV_DATA names it"
)


def png(seed=0, size=(8, 6), mode="RGB"):
    content = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8)).convert(mode).save(
        content, "PNG"
    )
    return content.getvalue()


def label_map(values):
    content = io.BytesIO()
    Image.fromarray(np.asarray(values, np.uint8)).save(content, "PNG")
    return content.getvalue()


def encoded(pixels, file_format="PNG", mode=None):
    content = io.BytesIO()
    image = Image.frombytes(mode, pixels.shape[1::-1], pixels.tobytes()) if mode else Image.fromarray(pixels)
    image.save(content, file_format)
    return content.getvalue()


def damaged(content):
    """One bit flipped in the compressed pixels."""
    place = content.index(b"IDAT") + 12
    return content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]


def grey_of_two_bits(values):
    """A PNG that Pillow reads but cannot write: grey, 2 bits a pixel."""
    rows = np.asarray(values, np.uint8)
    height, width = rows.shape
    padded = np.pad(rows, ((0, 0), (0, -width % 4))).reshape(height, -1, 4)
    packed_rows = (padded << np.array([6, 4, 2, 0], np.uint8)).sum(2).astype(np.uint8)
    pixels = zlib.compress(b"".join(b"\0" + row.tobytes() for row in packed_rows))
    header = struct.pack(">IIBBBBB", width, height, 2, 0, 0, 0, 0)
    parts = [(b"IHDR", header), (b"IDAT", pixels), (b"IEND", b"")]
    chunks = [struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
              for kind, data in parts]  # fmt: skip
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())


def source(name, **settings):
    return plugin.build("data.sources", {"name": name} | settings)


def samples(name, **settings):
    return list(source(name, **settings).samples())


def packed(tmp_path, name, **settings):
    out = tmp_path / "packed"
    pack(
        source(name, **settings), out, codec="original", shard_samples=50, short_side_px=None, max_quarantined_share=0.9
    )
    return Shards(out), pq.read_table(out / "quarantine.parquet").to_pylist()


def test_every_adapter_is_found_by_its_name():
    assert plugin.names("data.sources") == ["ade20k", "coco", "hf_parquet", "image_folder", "inaturalist", "tar"]
    for name in plugin.names("data.sources"):
        assert {"samples", "classes"} <= set(dir(plugin.component("data.sources", name)))


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
        (root / "round").symlink_to(root)
        (root / "nowhere.png").symlink_to(tmp_path / "absent.png")
        os.mkfifo(root / "pipe")
        shards, quarantine = packed(tmp_path, "image_folder", root=str(root))
        assert sorted(shards.ids) == ["caf\\xe9.png", "good.png", "new\nline.png"]
        reasons = {row["sample_id"]: row["reason"] for row in quarantine}
        assert set(reasons) == {"notes.txt", "empty.png", "loop.png", "round", "nowhere.png", "pipe"}
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
        with pytest.raises(ValueError, match="no class folders; set class_folders=false"):
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


def tar_of(files, path=None, mode="w"):
    """A tar file of name -> bytes, or of name -> header for what is no file."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode=mode) as archive:
        for name, content in files.items():
            member = content if isinstance(content, tarfile.TarInfo) else tarfile.TarInfo(name)
            if isinstance(content, bytes):
                member.size = len(content)
            archive.addfile(member, io.BytesIO(content) if isinstance(content, bytes) else None)
    if path:
        write(path, stream.getvalue())
    return stream.getvalue()


class TestTar:
    @pytest.mark.parametrize("mode", ["w", "w:gz"])
    def test_class_folders_below_a_root(self, tmp_path, mode):
        files = {
            f"./set/val/{name}": png(n) for n, name in enumerate(("dog/a.png", "cat/b.png", "cat/._b.png", "c.png"))
        }
        tar_of(files | {"set/readme.txt": b"-"}, tmp_path / "a.tar", mode)
        settings = {"archive": str(tmp_path / "a.tar"), "root": "set/val", "class_folders": True}
        found = samples("tar", **settings)
        assert source("tar", **settings).classes() == ["cat", "dog"]
        assert [(s.id, s.label) for s in found] == [("dog/a.png", 1), ("cat/b.png", 0), ("c.png", None)]
        assert found[0].image == png(0) and "beside the class folders" in found[2].fault

    def test_a_tar_of_one_tar_per_class(self, tmp_path):
        """As ILSVRC2012_img_train.tar; an inner archive that was cut short costs no more than itself."""
        whole = tar_of({"n02_1.png": png(1), "n02_2.png": png(2)})
        inner = {
            "n02.tar": whole,
            "n01.tar": tar_of({"n01_1.png": png(3)}),
            "n03.tar": b"broken",
            "n04.tar": whole[:700],
        }
        tar_of(inner, tmp_path / "train.tar")
        shards, quarantine = packed(tmp_path, "tar", archive=str(tmp_path / "train.tar"), class_folders=True)
        assert shards.classes == ["n01", "n02", "n03", "n04"]
        assert dict(zip(shards.ids, shards.labels.tolist())) == {
            "n02/n02_1.png": 1,
            "n02/n02_2.png": 1,
            "n01/n01_1.png": 0,
        }
        reasons = {row["sample_id"]: row["reason"] for row in quarantine}
        assert set(reasons) == {"n03.tar", "n04/n02_1.png", "n04.tar"}
        assert "broken inner tar" in reasons["n03.tar"] and "cannot be read" in reasons["n04/n02_1.png"]

    def test_a_flat_archive_with_labels(self, tmp_path):
        """As ILSVRC2012_img_val.tar, with names, with classes alone, and with the development kit's ids."""
        tar_of({name: png(n) for n, name in enumerate(("v3.png", "v1.png", "v2.png"))}, tmp_path / "val.tar")
        write(tmp_path / "classes.txt", b"cat\ndog\n")
        write(tmp_path / "ids.txt", b"dog\ncat\n")
        settings = {"archive": str(tmp_path / "val.tar"), "classes_file": str(tmp_path / "classes.txt")}
        settings["labels_file"] = str(tmp_path / "labels.txt")
        for text, more in ((b"v1.png cat\nv2.png dog\nv3.png dog", {}), (b"cat\ndog\ndog\n", {}),
                           (b"2\n1\n1\n", {"ids_file": str(tmp_path / "ids.txt")})):  # fmt: skip
            write(tmp_path / "labels.txt", text)
            found = {sample.id: sample.label for sample in samples("tar", **settings, **more)}
            assert found == {"v1.png": 0, "v2.png": 1, "v3.png": 1}
        write(tmp_path / "labels.txt", b"v1.png 1\nv2.png dog\n")
        faults = {sample.id: sample.fault for sample in samples("tar", **settings)}
        assert faults["v1.png"] == "unknown class 1" and "does not name this file" in faults["v3.png"]
        write(tmp_path / "labels.txt", b"cat\ndog\n")
        with pytest.raises(ValueError, match=r"labels.txt has 2 labels, .*val.tar has 3 files"):
            samples("tar", **settings)

    def test_names_are_data_and_only_files_are_read(self, tmp_path):
        link, huge = tarfile.TarInfo("link.png"), tarfile.TarInfo("pipe")
        link.type, link.linkname, huge.type = tarfile.SYMTYPE, "/etc/hostname", tarfile.FIFOTYPE
        tar_of({"../../out.png": png(), "link.png": link, "pipe": huge}, tmp_path / "in" / "a.tar")
        found = samples("tar", archive=str(tmp_path / "in" / "a.tar"))
        assert [(s.id, s.fault) for s in found][1:] == [
            ("link.png", "not a regular file"), ("pipe", "not a regular file"),
        ]  # fmt: skip
        assert found[0].image == png() and not list(tmp_path.rglob("*.png"))

    def test_errors_name_the_file_and_the_way_out(self, tmp_path):
        with pytest.raises(ValueError, match=r"tar file .*b.tar does not exist"):
            samples("tar", archive=str(tmp_path / "b.tar"))
        write(tmp_path / "b.tar", b"no tar")
        with pytest.raises(ValueError, match=r"b.tar is no tar file, plain or compressed; .* fetch it again$"):
            samples("tar", archive=str(tmp_path / "b.tar"))
        whole = tar_of({"1.png": png(), "2.png": png(1)})
        write(tmp_path / "b.tar", whole[: 512 + 100])
        with pytest.raises(ValueError, match=r"b.tar is cut short or damaged"):
            samples("tar", archive=str(tmp_path / "b.tar"))
        with pytest.raises(ValueError, match="needs classes_file"):
            samples("tar", archive=str(tmp_path / "b.tar"), labels_file="labels.txt")


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


def write_ade20k(folder):
    for number in range(3):
        values = np.full((8, 6), max(1, number))
        values[number:4] = 0
        write(folder / f"images/training/{number}.jpg", png(number))
        write(folder / f"annotations/training/{number}.png", label_map(values))
    write(folder / "classes.txt", b"sea\nlake\n")
    return {"root": str(folder), "split": "training"}


class TestAde20k:
    def test_images_and_label_maps(self, tmp_path):
        settings = write_ade20k(tmp_path)
        found = samples("ade20k", **settings)
        assert source("ade20k", **settings).classes() == ["sea", "lake"]
        assert [sample.id for sample in found] == ["0.jpg", "1.jpg", "2.jpg"]
        assert all(sample.image_px == (8, 6) and not sample.fault for sample in found)
        assert np.asarray(Image.open(io.BytesIO(found[2].annotation)))[:, 0].tolist() == [2, 2, 0, 0, 2, 2, 2, 2]

    def test_the_official_class_list(self, tmp_path):
        settings = write_ade20k(tmp_path)
        (tmp_path / "classes.txt").unlink()
        with pytest.raises(ValueError, match=r"neither classes.txt nor objectInfo150.txt; give classes_file"):
            source("ade20k", **settings).classes()
        rows = b"Idx\tRatio\tTrain\tVal\tStuff\tName\n1\t0.15\t11664\t1172\t1\twall\n2\t0.10\t6046\t612\t1\tbuilding\n"
        write(tmp_path / "objectInfo150.txt", rows)
        assert source("ade20k", **settings).classes() == ["wall", "building"]

    def test_what_does_not_fit_is_quarantined(self, tmp_path):
        settings = write_ade20k(tmp_path)
        write(tmp_path / "annotations/training/0.png", label_map(np.full((8, 6), 3)))
        write(tmp_path / "annotations/training/1.png", label_map(np.full((8, 7), 1)))
        (tmp_path / "annotations/training/2.png").unlink()
        for name, content in (("3", png(3)), ("4", b"broken"), ("5", png(5))):
            write(tmp_path / f"images/training/{name}.png", png())
            write(tmp_path / f"annotations/training/{name}.png", content)
        write(tmp_path / "annotations/training/lonely.png", label_map(np.ones((8, 6))))
        write(tmp_path / "images/training/good.png", png())
        write(tmp_path / "annotations/training/good.png", label_map(np.ones((8, 6))))
        shards, quarantine = packed(tmp_path, "ade20k", **settings)
        reasons = {row["sample_id"]: row["reason"] for row in quarantine}
        assert shards.ids == ["good.png"]
        assert "values up to 3" in reasons["0.jpg"] and "made for (8, 7)" in reasons["1.jpg"]
        assert reasons["2.jpg"] == "label map file is missing" and "mode RGB" in reasons["3.png"]
        assert "not a PNG" in reasons["4.png"] and reasons["lonely.png"] == "label map without an image"
        assert set(reasons) == {"0.jpg", "1.jpg", "2.jpg", "3.png", "4.png", "5.png", "lonely.png"}

    @pytest.mark.parametrize(
        ("content", "reason"),
        [
            (encoded(np.full((8, 6), 300, np.uint16)), "16-bit PNG of mode I;16; 8-bit grey or a palette is allowed"),
            (encoded(np.ones((8, 6, 3), np.uint8)), "8-bit PNG of mode RGB"),
            (grey_of_two_bits(np.ones((8, 6))), "2-bit PNG of mode L"),  # Pillow would read 85 for 1
            (label_map(np.full((8, 6), 3)), "values up to 3; 0 (ignored) to 2 are allowed"),
            (label_map(np.zeros((8, 6))), "no labelled pixel"),
            (encoded(np.ones((8, 6), np.uint8), "JPEG"), "not a PNG; other formats may change class numbers"),
            (label_map(np.ones((8, 6)))[:-20], "broken PNG"),
            (damaged(label_map(np.arange(48).reshape(8, 6) % 3)), "broken PNG"),
            (b"", "not a PNG"),
        ],
        ids=["16-bit", "RGB", "2-bit", "beyond", "ignored", "JPEG", "truncated", "damaged", "empty"],
    )
    def test_label_maps_of_another_kind_are_quarantined(self, tmp_path, content, reason):
        settings = write_ade20k(tmp_path)
        write(tmp_path / "annotations/training/1.png", content)
        shards, quarantine = packed(tmp_path, "ade20k", **settings)
        assert shards.ids == ["0.jpg", "2.jpg"]
        assert [row["sample_id"] for row in quarantine if row["action"] == "quarantined"] == ["1.jpg"]
        assert reason in next(row["reason"] for row in quarantine if row["sample_id"] == "1.jpg")
        assert "0x" not in str(quarantine)  # an address would make two packings differ

    def test_a_palette_is_read_by_its_indices(self, tmp_path):
        settings = write_ade20k(tmp_path)
        image = Image.fromarray(np.full((8, 6), 2, np.uint8)).convert("P")
        image.putpalette([9] * 768)
        content = io.BytesIO()
        image.save(content, "PNG", bits=4)
        write(tmp_path / "annotations/training/1.png", content.getvalue())
        assert not samples("ade20k", **settings)[1].fault

    def test_two_label_maps_of_one_image_are_not_chosen_from(self, tmp_path):
        settings = write_ade20k(tmp_path)
        write(tmp_path / "annotations/training/1.jpg", png())
        assert samples("ade20k", **settings)[1].fault == "image with several label maps: 1.jpg, 1.png"

    def test_grey_and_cmyk_images_become_rgb(self, tmp_path):
        settings = write_ade20k(tmp_path)
        grey, cmyk = np.full((8, 6), 90, np.uint8), np.full((8, 6, 4), 60, np.uint8)
        write(tmp_path / "images/training/0.jpg", encoded(grey, "JPEG"))
        write(tmp_path / "images/training/1.jpg", encoded(cmyk, "JPEG", "CMYK"))
        shards, incidents = packed(tmp_path, "ade20k", **settings)
        reasons = {row["sample_id"]: (row["action"], row["reason"]) for row in incidents}
        assert reasons["1.jpg"] == ("converted", "mode CMYK converted to RGB") and "0.jpg" not in reasons
        images = SegmentationSet(
            shards, image_px=6, scale_range=(1, 1), long_side_limit=4, flip=0, max_class_share=1,
            distort_colours=False, padding=(0, 0, 0), seed=0, training=False,
        )  # fmt: skip
        assert images.__getitems__([(0, 0), (0, 1)])["images"].shape == (2, 3, 8, 6)

    def test_no_images_at_all(self, tmp_path):
        settings = write_ade20k(tmp_path)
        for path in (tmp_path / "images/training").iterdir():
            path.unlink()
        with pytest.raises(ValueError, match=r"images/training holds no images; check root and split"):
            packed(tmp_path, "ade20k", **settings)

    def test_too_many_that_do_not_fit_are_refused(self, tmp_path):
        settings = write_ade20k(tmp_path)
        for number in range(3):
            write(tmp_path / f"annotations/training/{number}.png", label_map(np.zeros((8, 6))))
        with pytest.raises(ValueError, match=r"3 of 3 samples are unusable.* '0.jpg': label map has no labelled pixel"):
            packed(tmp_path, "ade20k", **settings)

    @pytest.mark.parametrize("names", [b"", b" \n\n", b"sea\nlake\nsea\n"])
    def test_a_class_list_without_use(self, tmp_path, names):
        settings = write_ade20k(tmp_path)
        write(tmp_path / "classes.txt", names)
        with pytest.raises(ValueError, match=r"class list .*classes.txt must name at least one class and none twice"):
            samples("ade20k", **settings)

    def test_an_absent_class_list(self, tmp_path):
        settings = write_ade20k(tmp_path) | {"classes_file": str(tmp_path / "names.txt")}
        with pytest.raises(ValueError, match=r"class list .*names.txt does not exist"):
            samples("ade20k", **settings)

    @needs_real_data
    @pytest.mark.parametrize(("split", "count"), [("training", 367), ("validation", 334)])
    def test_real_camvid(self, split, count):
        made = source("ade20k", root=str(REAL / "camvid"), split=split)
        found = list(made.samples())
        assert (len(made.classes()), len(found)) == (11, count)
        assert all(sample.image_px == (360, 480) and not sample.fault for sample in found)

    def test_an_absent_split_is_named(self, tmp_path):
        settings = write_ade20k(tmp_path) | {"split": "test"}
        with pytest.raises(ValueError, match="images/test does not exist"):
            samples("ade20k", **settings)
