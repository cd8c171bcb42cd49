"""The tar source: archives of class folders, nested archives, damaged ones."""

import io
import tarfile

import pytest
from source_files import packed, png, samples, source, write


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
        for text, more in (
            (b"v1.png cat\nv2.png dog\nv3.png dog", {}),
            (b"cat\ndog\ndog\n", {}),
            (b"2\n1\n1\n", {"ids_file": str(tmp_path / "ids.txt")}),
        ):
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
            ("link.png", "not a regular file"),
            ("pipe", "not a regular file"),
        ]
        assert found[0].image == png() and not list(tmp_path.rglob("*.png"))

    def test_errors_name_the_file_and_the_way_out(self, tmp_path):
        with pytest.raises(ValueError, match=r"tar file .*b.tar does not exist"):
            samples("tar", archive=str(tmp_path / "b.tar"))
        write(tmp_path / "b.tar", b"no tar")
        with pytest.raises(ValueError, match=r"b.tar is not a tar file, plain or compressed, .* fetch it again$"):
            samples("tar", archive=str(tmp_path / "b.tar"))
        whole = tar_of({"1.png": png(), "2.png": png(1)})
        write(tmp_path / "b.tar", whole[: 512 + 100])
        with pytest.raises(ValueError, match=r"b.tar is cut short or damaged"):
            samples("tar", archive=str(tmp_path / "b.tar"))
        with pytest.raises(ValueError, match="needs classes_file"):
            samples("tar", archive=str(tmp_path / "b.tar"), labels_file="labels.txt")


def nested(depth):
    """An image inside that many tar files inside each other."""
    content = tar_of({"1.png": png()})
    for _ in range(depth):
        content = tar_of({"inner.tar": content, "2.png": png(1)})
    return content


@pytest.mark.parametrize("depth", [1, 4, 5, 300])
def test_tar_files_inside_each_other_are_read_to_a_stated_depth(tmp_path, depth):
    write(tmp_path / "a.tar", nested(depth))
    found = samples("tar", archive=str(tmp_path / "a.tar"))
    faults = [sample.fault for sample in found if sample.fault]
    assert len(found) == min(depth, 5) + 1
    assert faults == (["5 tar files inside each other are no images"] if depth > 4 else [])


@pytest.mark.parametrize("suffix", ["gz", "bz2", "xz"])
def test_a_damaged_compressed_archive_is_one_sentence(tmp_path, suffix):
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode=f"w:{suffix}") as archive:
        for number in range(30):
            member = tarfile.TarInfo(f"{number}.png")
            member.size = len(png(number))
            archive.addfile(member, io.BytesIO(png(number)))
    whole = content.getvalue()
    for place in range(0, len(whole), len(whole) // 12):
        for damaged in (whole[:place], whole[:place] + bytes([whole[place] ^ 16]) + whole[place + 1 :]):
            write(tmp_path / "a.tar", damaged)
            try:
                samples("tar", archive=str(tmp_path / "a.tar"))
            except ValueError as refused:
                assert str(tmp_path / "a.tar") in str(refused) and "\n" not in str(refused)


def test_an_image_with_two_labels_is_refused(tmp_path):
    write(tmp_path / "a.tar", tar_of({"1.png": png()}))
    write(tmp_path / "labels.txt", b"1.png cat\n1.png dog\n")
    write(tmp_path / "classes.txt", b"cat\ndog\n")
    lists = {"labels_file": str(tmp_path / "labels.txt"), "classes_file": str(tmp_path / "classes.txt")}
    with pytest.raises(ValueError, match=r"labels.txt gives '1.png' two classes; leave one"):
        samples("tar", archive=str(tmp_path / "a.tar"), **lists)


def test_a_number_beyond_the_ids_is_refused(tmp_path):
    """As in a list that counts from 0, where every other image would get the class before its own."""
    write(tmp_path / "a.tar", tar_of({"1.png": png(), "2.png": png()}))
    write(tmp_path / "labels.txt", b"1.png 1\n2.png 0\n")
    write(tmp_path / "classes.txt", b"cat\ndog\n")
    lists = {name: str(tmp_path / "classes.txt") for name in ("classes_file", "ids_file")}
    with pytest.raises(ValueError, match=r"labels.txt: 0 is no number of ids_file, which are 1 to 2"):
        samples("tar", archive=str(tmp_path / "a.tar"), labels_file=str(tmp_path / "labels.txt"), **lists)
