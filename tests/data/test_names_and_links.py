"""Linked folders, accented names in both Unicode forms, byte-order marks: as users' disks hold them."""

import io
import json
import os
import tarfile
import unicodedata

import pytest
from source_files import label_map, packed, png, samples, source, write

NFC, NFD = (unicodedata.normalize(form, "café") for form in ("NFC", "NFD"))
FORMS = [(NFC, NFD), (NFD, NFC), (NFC, NFC), (NFD, NFD)]
ENCODINGS = ["utf-8", "utf-8-sig", "utf-16"]


def encoded(text, encoding):
    return text.replace("\n", "\r\n").encode(encoding)  # as Windows writes them, with a mark and carriage returns


def labels_by_id(name, **settings):
    return {sample.id: sample.label for sample in samples(name, **settings)}


class TestLinks:
    def test_linked_class_folders_hold_their_images(self, tmp_path):
        for name in ("set/cat/1.png", "elsewhere/2.png", "elsewhere/deep/3.png", "further/4.png"):
            write(tmp_path / name, png())
        (tmp_path / "set/dog").symlink_to(tmp_path / "elsewhere")
        (tmp_path / "set/cat/more").symlink_to("../../further", target_is_directory=True)
        settings = {"root": str(tmp_path / "set"), "class_folders": True}
        assert source("image_folder", **settings).classes() == ["cat", "dog"]
        wanted = {"cat/1.png": 0, "cat/more/4.png": 0, "dog/2.png": 1, "dog/deep/3.png": 1}
        assert labels_by_id("image_folder", **settings) == wanted
        assert list(labels_by_id("image_folder", root=str(tmp_path / "set"))) == sorted(wanted)

    def test_a_link_as_root_and_a_folder_linked_twice(self, tmp_path):
        write(tmp_path / "real/cat/1.png", png())
        (tmp_path / "set").mkdir()
        for name in ("a", "b"):
            (tmp_path / "set" / name).symlink_to(tmp_path / "real/cat")
        (tmp_path / "link").symlink_to(tmp_path / "set")
        found = labels_by_id("image_folder", root=str(tmp_path / "link"), class_folders=True)
        assert found == {"a/1.png": 0, "b/1.png": 1}

    @pytest.mark.parametrize("target", ["..", "../..", "."])
    def test_a_link_that_leads_back_is_refused(self, tmp_path, target):
        write(tmp_path / "set/cat/1.png", png())
        (tmp_path / "set/cat/round").symlink_to(target, target_is_directory=True)
        if target == "../..":
            (tmp_path / "set/cat/round").unlink()
            (tmp_path / "set/cat/down").mkdir()
            (tmp_path / "set/cat/down/round").symlink_to("../..", target_is_directory=True)
        with pytest.raises(ValueError, match=r"link .*round leads back to .*, a folder that contains it") as refusal:
            samples("image_folder", root=str(tmp_path / "set"))
        assert "\n" not in str(refusal.value)

    def test_links_that_lead_nowhere_are_no_classes(self, tmp_path):
        write(tmp_path / "set/cat/1.png", png())
        (tmp_path / "set/gone").symlink_to(tmp_path / "absent")
        (tmp_path / "set/self").symlink_to(tmp_path / "set/self")
        shards, quarantine = packed(tmp_path, "image_folder", root=str(tmp_path / "set"), class_folders=True)
        assert shards.classes == ["cat"] and shards.ids == ["cat/1.png"]
        assert {row["sample_id"] for row in quarantine} == {"gone", "self"}

    def test_linked_folders_of_ade20k(self, tmp_path):
        write(tmp_path / "elsewhere/1.png", png())
        write(tmp_path / "set/annotations/training/street/1.png", label_map([[1] * 6] * 8))
        write(tmp_path / "set/classes.txt", b"road\n")
        (tmp_path / "set/images/training").mkdir(parents=True)
        (tmp_path / "set/images/training/street").symlink_to(tmp_path / "elsewhere")
        (one,) = samples("ade20k", root=str(tmp_path / "set"), split="training")
        assert one.id == "street/1.png" and not one.fault

    @pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
    def test_a_folder_that_cannot_be_read_is_named(self, tmp_path):
        (tmp_path / "set/cat").mkdir(parents=True)
        (tmp_path / "set/cat").chmod(0)
        with pytest.raises(ValueError, match=r"folder .*cat cannot be read: Permission denied; check its permissions"):
            samples("image_folder", root=str(tmp_path / "set"))
        (tmp_path / "set/cat").chmod(0o700)


@pytest.mark.parametrize(("listed", "stored"), FORMS)
class TestAccents:
    def test_class_folders_and_class_list(self, tmp_path, listed, stored):
        write(tmp_path / "set" / stored / "1.png", png())
        write(tmp_path / "classes.txt", f"bar\n{listed}\n".encode())
        settings = {"root": str(tmp_path / "set"), "class_folders": True}
        assert source("image_folder", **settings).classes() == [NFC]
        settings["classes_file"] = str(tmp_path / "classes.txt")
        assert source("image_folder", **settings).classes() == ["bar", NFC]
        assert list(labels_by_id("image_folder", **settings).values()) == [1]

    def test_coco(self, tmp_path, listed, stored):
        write(tmp_path / "images" / stored / f"{stored}.png", png())
        image = {"id": 1, "file_name": f"{listed}/{listed}.png", "height": 8, "width": 6}
        document = {"images": [image], "annotations": [], "categories": [{"id": 1, "name": listed}]}
        write(tmp_path / "a.json", document)
        settings = {"images": str(tmp_path / "images"), "annotations": str(tmp_path / "a.json")}
        (one,) = samples("coco", **settings)
        assert one.image == png() and not one.fault and source("coco", **settings).classes() == [NFC]

    def test_inaturalist(self, tmp_path, listed, stored):
        write(tmp_path / "set" / stored / "1.png", png())
        document = {
            "images": [{"id": n, "file_name": f"{listed}/{n}.png"} for n in (1, 2)],
            "annotations": [{"id": n, "image_id": n, "category_id": 1} for n in (1, 2)],
            "categories": [{"id": 1, "name": listed}],
        }
        write(tmp_path / "a.json", document)
        here, gone = samples("inaturalist", root=str(tmp_path / "set"), annotations=str(tmp_path / "a.json"))
        assert (here.image, here.label, gone.fault) == (png(), 0, "file is missing")

    def test_ade20k(self, tmp_path, listed, stored):
        write(tmp_path / f"images/training/{stored}.png", png())
        write(tmp_path / f"annotations/training/{listed}.png", label_map([[1] * 6] * 8))
        write(tmp_path / "classes.txt", b"road\n")
        (one,) = samples("ade20k", root=str(tmp_path), split="training")
        assert not one.fault and one.annotation

    def test_tar(self, tmp_path, listed, stored):
        with tarfile.open(tmp_path / "a.tar", "w") as archive:
            member = tarfile.TarInfo(f"{stored}/{stored}.png")
            member.size = len(png())
            archive.addfile(member, io.BytesIO(png()))
        write(tmp_path / "classes.txt", f"bar\n{listed}\n".encode())
        write(tmp_path / "labels.txt", f"{listed}.png {listed}\n".encode())
        shared = {"archive": str(tmp_path / "a.tar"), "classes_file": str(tmp_path / "classes.txt")}
        for settings in ({"class_folders": True}, {"labels_file": str(tmp_path / "labels.txt")}):
            assert list(labels_by_id("tar", **shared, **settings).values()) == [1]


@pytest.mark.parametrize("encoding", ENCODINGS)
class TestByteOrderMarks:
    def test_class_lists(self, tmp_path, encoding):
        for name in ("cat", "dog"):
            write(tmp_path / "set" / name / "1.png", png())
        write(tmp_path / "classes.txt", encoded("dog\ncat\n", encoding))
        settings = {"root": str(tmp_path / "set"), "class_folders": True, "classes_file": str(tmp_path / "classes.txt")}
        assert labels_by_id("image_folder", **settings) == {"cat/1.png": 1, "dog/1.png": 0}

    def test_json(self, tmp_path, encoding):
        write(tmp_path / "set/1.png", png())
        image = {"id": 1, "file_name": "1.png", "height": 8, "width": 6}
        categories = [{"id": 1, "name": "cät"}]
        document = {"images": [image], "categories": categories}
        text = json.dumps(document | {"annotations": []}, ensure_ascii=False)
        write(tmp_path / "coco.json", encoded(text, encoding))
        text = json.dumps(document | {"annotations": [{"id": 1, "image_id": 1, "category_id": 1}]}, ensure_ascii=False)
        write(tmp_path / "inat.json", encoded(text, encoding))
        folder = str(tmp_path / "set")
        coco = source("coco", images=folder, annotations=str(tmp_path / "coco.json"))
        inat = source("inaturalist", root=folder, annotations=str(tmp_path / "inat.json"))
        assert coco.classes() == inat.classes() == ["cät"]
        assert next(coco.samples()).read().image == next(inat.samples()).read().image == png()

    def test_lists_of_ade20k_and_tar(self, tmp_path, encoding):
        write(tmp_path / "objectInfo150.txt", encoded("Idx\tName\n1\twall\n2\tsky\n", encoding))
        assert source("ade20k", root=str(tmp_path), split="training").classes() == ["wall", "sky"]
        with tarfile.open(tmp_path / "a.tar", "w") as archive:
            member = tarfile.TarInfo("1.png")
            member.size = len(png())
            archive.addfile(member, io.BytesIO(png()))
        for name, text in {"names": "cat\ndog\n", "labels": "1.png 2\n", "ids": "cat\ndog\n"}.items():
            write(tmp_path / f"{name}.txt", encoded(text, encoding))
        lists = {
            f"{name}_file": str(tmp_path / f"{file}.txt")
            for name, file in (("classes", "names"), ("labels", "labels"), ("ids", "ids"))
        }
        assert labels_by_id("tar", archive=str(tmp_path / "a.tar"), **lists) == {"1.png": 1}


def test_blank_lines_and_comments_name_no_class(tmp_path):
    write(tmp_path / "classes.txt", b"# my classes\n\nroad\n#\n  sky \n")
    assert source("ade20k", root=str(tmp_path), split="training").classes() == ["road", "sky"]


def test_lists_that_are_no_text_are_refused_in_one_line(tmp_path):
    write(tmp_path / "set/cat/1.png", png())
    write(tmp_path / "classes.txt", "café\n".encode("latin-1"))
    settings = {"root": str(tmp_path / "set"), "class_folders": True, "classes_file": str(tmp_path / "classes.txt")}
    with pytest.raises(ValueError, match=r"classes.txt is not UTF-8 text .*; save it as UTF-8"):
        samples("image_folder", **settings)


@pytest.mark.parametrize("indent", [None, 1])
@pytest.mark.parametrize("value", [["cat", "dog"], {"cat": 0, "dog": 1}])
def test_a_class_list_in_json_is_refused(value, indent, tmp_path):
    write(tmp_path / "classes.txt", json.dumps(value, indent=indent).encode())
    with pytest.raises(ValueError, match=r"class list .*classes.txt holds JSON; write one name on each line"):
        source("ade20k", root=str(tmp_path), split="training").classes()


def test_what_macos_leaves_is_no_class(tmp_path):
    for name in ("cat/1.png", "dog/2.png", "__MACOSX/cat/._1.png", "cat/__MACOSX/3.png"):
        write(tmp_path / "set" / name, png())
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        archive.add(tmp_path / "set", "")
    for name, place in {
        "image_folder": {"root": str(tmp_path / "set")},
        "tar": {"archive": str(tmp_path / "a.tar")},
    }.items():
        assert source(name, **place, class_folders=True).classes() == ["cat", "dog"]
        assert labels_by_id(name, **place, class_folders=True) == {"cat/1.png": 0, "dog/2.png": 1}
