"""Every source tells when one of its files was added, removed or edited, without reading an image."""

import json
import os
import tarfile

import pytest
from source_files import label_map, png, source, write

from simmim import plugin
from simmim.data import decode
from simmim.data.index import FORMAT, read_index, source_changed
from simmim.data.packing import pack

OBJECTS = {"images": [{"id": n, "file_name": f"{n}.png", "height": 8, "width": 6} for n in (1, 2, 3)]} | {
    "annotations": [
        {
            "id": n,
            "image_id": n,
            "category_id": 1,
            "bbox": [1, 1, 2, 2],
            "area": 4,
            "segmentation": [[1, 1, 3, 1, 3, 3]],
        }
        for n in (1, 2, 3)
    ],
    "categories": [{"id": 1, "name": "cat"}],
}


def images_in(folder):
    for n in (1, 2, 3):
        write(folder / f"{n}.png", png(n))


def image_folder(root):
    images_in(root / "set/cat")
    write(root / "names.txt", b"cat\ndog\n")
    lists = {"classes_file": str(root / "names.txt")}
    return {"root": str(root / "set"), "class_folders": True} | lists, root / "set/cat", root / "names.txt"


def coco(root):
    images_in(root / "images")
    write(root / "a.json", OBJECTS)
    return {"images": str(root / "images"), "annotations": str(root / "a.json")}, root / "images", root / "a.json"


def inaturalist(root):
    images_in(root / "set")
    write(root / "a.json", OBJECTS)
    return {"root": str(root / "set"), "annotations": str(root / "a.json")}, root / "set", root / "a.json"


def ade20k(root):
    images_in(root / "images/val")
    for n in (1, 2, 3):
        write(root / f"annotations/val/{n}.png", label_map([[1] * 6] * 8))
    write(root / "classes.txt", b"road\n")
    return {"root": str(root), "split": "val"}, root / "images/val", root / "classes.txt"


def hf_parquet(root):
    import pyarrow as pa
    import pyarrow.parquet as pq

    for n in (1, 2, 3):
        image = pa.array([{"bytes": png(n), "path": ""}], pa.struct([("bytes", pa.binary()), ("path", pa.string())]))
        (root / "files").mkdir(exist_ok=True)
        pq.write_table(pa.table({"image": image, "label": [0]}), root / f"files/{n}.png")
    write(root / "names.txt", b"cat\n")
    return {"files": f"{root}/files/*", "classes_file": str(root / "names.txt")}, root / "files", root / "names.txt"


def tar(root):
    images_in(root / "set")
    (root / "tars").mkdir()
    with tarfile.open(root / "tars/1.png", "w") as archive:
        archive.add(root / "set", "cat")
    write(root / "names.txt", b"cat\n")
    lists = {"classes_file": str(root / "names.txt"), "class_folders": True}
    return {"archive": str(root / "tars/1.png")} | lists, root / "tars", root / "names.txt"


def image_list(root):
    images_in(root / "set")
    write(root / "list.txt", b"set/1.png\nset/2.png\nset/3.png\n")
    return {"file": str(root / "list.txt")}, root / "set", root / "list.txt"


SOURCES = {each.__name__: each for each in (ade20k, coco, hf_parquet, image_folder, image_list, inaturalist, tar)}


def touched(path):
    """Another modification time, nothing else."""
    state = path.stat()
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns + 1_000_000_000))


def longer(path):
    """One byte more at the same modification time."""
    state = path.stat()
    path.write_bytes(path.read_bytes() + b"\n")
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))


CHANGES = {
    "an image with another time": lambda images, listed: touched(images / "1.png"),
    "an image one byte longer": lambda images, listed: longer(images / "1.png"),
    "a list with another time": lambda images, listed: touched(listed),
    "a list one byte longer": lambda images, listed: longer(listed),
    "an image removed": lambda images, listed: (images / "2.png").unlink(),
    "an image renamed": lambda images, listed: (images / "3.png").rename(images / "4.png"),
    "an image added": lambda images, listed: write(images / "5.png", png(5)),
}
NOT_OF = {  # a JSON, a list or an archive lists its images; an archive is one file; a list has nothing but names
    "image_list": {"an image added", "a list with another time", "a list one byte longer"},
    "tar": {"an image removed", "an image renamed", "an image added"},
    "coco": {"an image added"},
    "inaturalist": {"an image added"},
}


def test_every_source_is_here():
    assert tuple(sorted(SOURCES)) == plugin.names("data.sources")


@pytest.mark.parametrize("name", SOURCES)
def test_every_change_is_noticed_and_none_is_made_up(name, tmp_path, monkeypatch):
    settings, images, listed = SOURCES[name](tmp_path)
    made = source(name, **settings)
    pack(made, tmp_path / "out", codec="original", shard_samples=9, short_side_px=None)
    index = read_index(tmp_path / "out")
    monkeypatch.setattr(decode.Image, "open", lambda *_, **__: pytest.fail("an image was read"))
    assert not source_changed(index, made) and not source_changed(index, source(name, **settings))
    for change in [each for each in CHANGES if each not in NOT_OF.get(name, ())]:
        before = made.fingerprint()
        CHANGES[change](images, listed)
        assert made.fingerprint() != before and source_changed(index, made), change


def test_a_label_map_counts_too(tmp_path):
    settings, _, _ = ade20k(tmp_path)
    before = source("ade20k", **settings).fingerprint()
    touched(tmp_path / "annotations/val/2.png")
    assert source("ade20k", **settings).fingerprint() != before


@pytest.mark.parametrize("name", SOURCES)
def test_a_source_that_is_gone_is_named(name, tmp_path):
    settings, images, listed = SOURCES[name](tmp_path)
    made = source(name, **settings)
    for path in images.iterdir():
        path.unlink()
    images.rmdir()
    if name == "image_list":  # what a list names may be missing, and is quarantined
        listed.unlink()
    if name == "image_folder":
        images.parent.rmdir()
    with pytest.raises(ValueError, match=r"does not exist|no file matches"):
        made.fingerprint()


def test_the_index_is_of_the_state_before_packing(tmp_path):
    settings, images, _ = image_folder(tmp_path)
    made = source("image_folder", **settings)

    class Changing:
        classes, fingerprint = made.classes, made.fingerprint

        def samples(self):
            yield from made.samples()
            touched(images / "1.png")

    pack(Changing(), tmp_path / "out", codec="original", shard_samples=9, short_side_px=None)
    assert source_changed(read_index(tmp_path / "out"), made)


def test_the_index_records_it_and_its_format(tmp_path):
    settings, _, _ = coco(tmp_path)
    made = source("coco", **settings)
    pack(made, tmp_path / "out", codec="original", shard_samples=9, short_side_px=None)
    index = json.loads((tmp_path / "out/index.json").read_text())
    assert (index["source_sha256"], index["format"]) == (made.fingerprint(), FORMAT) and FORMAT >= 3
