"""A tar file of images, read in one pass without unpacking; tar files inside it count as folders of their name."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath

from simmim.data.samples import UNREADABLE, RawSample, printable
from simmim.data.sources._class_folders import class_names, label_of, labels_by_folder
from simmim.data.sources._files import existing_file, files_digest, is_hidden, lists_given, normal_form, read_class_list
from simmim.storage.reading import one_line, read_text, reading

_LARGEST_BYTES = 2**30  # of an image; a sparse member may claim any size
_DEEPEST = 4  # tar files inside each other; ILSVRC 2012 has one inside another


@dataclass(frozen=True)
class Tar:
    """Every regular file of an archive that is not hidden; what turns out not to be an image is quarantined.

    Names inside the archive are data only: nothing is written to disk. The archives of ILSVRC 2012 as downloaded:

        ILSVRC2012_img_train.tar   class_folders=true (one tar per class, n01440764.tar)
        ILSVRC2012_img_val.tar     labels_file=... classes_file=... (flat)

    Args:
        archive: the file; compression is recognised.
        root: folder inside the archive that is read, "" for all of it.
        class_folders: whether the first folder (or inner tar) below `root` names the class of what it holds.
        numbered_folders: those folders are named 0, 1, ... by the place of their class in `classes_file` (ImageNet-V2).
        classes_file: text file with one class name per line, in label order. Without it the names of the class folders
            in alphabetical order count.
        labels_file: text file with the class of every image of an archive without class folders, one per line: file
            name and class, or the class alone in the order of the file names. Classes are names of `classes_file`.
        ids_file: class names by the number that stands for them in `labels_file`, from 1, one per line: the order of
            ILSVRC2012_ID in the development kit, which is not that of the labels.
    """

    archive: str
    root: str = ""
    class_folders: bool = False
    numbered_folders: bool = False
    classes_file: str = ""
    labels_file: str = ""
    ids_file: str = ""

    def classes(self) -> list[str]:
        """Class names by label index; [] without class folders and labels."""
        if not (self.class_folders or self.labels_file):
            return []
        if self.classes_file:
            return read_class_list(self.classes_file)
        if self.labels_file:
            raise ValueError(f"labels_file={self.labels_file} needs classes_file, the class names in label order")
        with _opened(self.archive) as archive:
            inside = [parts for name, _ in _members(archive, self.archive) if (parts := self._below(name))]
        folders = {parts[0].removesuffix(".tar") for parts in inside if len(parts) > 1 or parts[0].endswith(".tar")}
        return class_names(folders, self.archive, self.numbered_folders)

    def samples(self) -> Iterator[RawSample]:
        """Files in the order of the archive; the id is the path below `root`.

        Raises:
            ValueError: for an archive that cannot be read to its end, and for labels that do not fit its files.
        """
        known = labels_by_folder(self.classes(), self.class_folders and self.numbered_folders)
        names = self._labels()
        with _opened(self.archive) as archive:
            for name, content, fault in _files(archive, self.archive):
                if parts := self._below(name):
                    label, missing = self._label(parts, known, names)
                    path = "/".join(parts)
                    origin = f"{printable(self.archive)}, {name}"
                    yield RawSample(path, content, label, origin=origin, fault=fault or missing)

    def fingerprint(self) -> str:
        """Digest of size and modification time of the archive and of the lists beside it."""
        existing_file(self.archive, "tar file")
        lists = {name: getattr(self, name) for name in ("archive", "classes_file", "labels_file", "ids_file")}
        return files_digest(lists_given(**lists))

    def _below(self, name: str) -> tuple[str, ...]:
        """Parts of a path below `root`; none of what is hidden or lies elsewhere."""
        parts, root = PurePosixPath(name).parts, PurePosixPath(self.root).parts
        hidden = any(is_hidden(part) and part != ".." for part in parts)
        return () if hidden or parts[: len(root)] != root else parts[len(root) :]

    def _label(self, parts: tuple[str, ...], known: dict[str, int], names: dict[str, str]) -> tuple[int | None, str]:
        if self.class_folders:
            return label_of(parts, known)
        if not self.labels_file:
            return None, ""
        name = names.get(normal_form(parts[-1]))
        if name not in known:
            return None, f"{self.labels_file} does not name this file" if name is None else f"unknown class {name}"
        return known[name], ""

    def _labels(self) -> dict[str, str]:
        """File name to class name."""
        if not self.labels_file:
            return {}
        text = normal_form(read_text(existing_file(self.labels_file, "label list")))
        rows = [line.split(maxsplit=1) for line in text.split("\n") if line.strip()]
        if all(len(row) == 1 for row in rows):
            rows = [[name, row[0]] for name, row in zip(self._names(len(rows)), rows, strict=True)]
        if odd := [row for row in rows if len(row) != 2]:
            raise ValueError(f"{self.labels_file}: '{' '.join(odd[0])}' is not a file name and a class")
        if self.ids_file:
            ids = {str(number): name for number, name in enumerate(read_class_list(self.ids_file), 1)}
            if odd := [number for _, number in rows if number.isdecimal() and number not in ids]:
                raise ValueError(f"{self.labels_file}: {odd[0]} is no number of ids_file, which are 1 to {len(ids)}")
            rows = [[name, ids.get(number, number)] for name, number in rows]
        found = dict(rows)
        if len(found) < len(rows):
            twice = next(name for n, (name, _) in enumerate(rows) if name in dict(rows[:n]))
            raise ValueError(f"{self.labels_file} gives '{twice}' two classes; leave one")
        return found

    def _names(self, count: int) -> list[str]:
        """File names in order, as many as there are labels."""
        with _opened(self.archive) as archive:
            found = (self._below(name) for name, member in _members(archive, self.archive) if member.isfile())
            names = sorted(normal_form(parts[-1]) for parts in found if parts)
        if len(names) != count:
            raise ValueError(f"{self.labels_file} has {count} labels, {self.archive} has {len(names)} files")
        return names


def _opened(path: str) -> tarfile.TarFile:
    file = existing_file(path, "tar file")
    with reading(file, "a tar file, plain or compressed", "check the path or fetch it again"):
        return tarfile.open(file)


def _members(archive: tarfile.TarFile, path: str) -> Iterator[tuple[str, tarfile.TarInfo]]:
    """Name and header of everything but folders."""
    try:
        for member in archive:
            archive.members = []  # one header at a time: a million of them would fill memory
            if not member.isdir():
                yield printable(member.name), member
    except Exception as error:  # readers of damaged archives raise nearly anything
        raise ValueError(f"{path} is cut short or damaged ({one_line(error)}); fetch it again") from error


def _files(archive: tarfile.TarFile, path: str, depth: int = 0) -> Iterator[tuple[str, bytes, str]]:
    """Name, content and fault of every file, those of inner archives behind the inner name without its suffix."""
    for name, member in _members(archive, path):
        if not member.isfile():
            yield name, b"", "not a regular file"
        elif name.endswith(".tar") and depth == _DEEPEST:
            yield name, b"", f"{_DEEPEST + 1} tar files inside each other are no images"
        elif name.endswith(".tar"):
            yield from _inner_files(archive, member, name, depth + 1)
        elif member.size > _LARGEST_BYTES:
            yield name, b"", f"{member.size} bytes are no image"
        else:
            yield name, *_content(archive, member)


def _content(archive: tarfile.TarFile, member: tarfile.TarInfo) -> tuple[bytes, str]:
    try:
        return archive.extractfile(member).read(), ""
    except Exception as error:
        return b"", f"{UNREADABLE}{one_line(error)}"


def _inner_files(
    archive: tarfile.TarFile, member: tarfile.TarInfo, name: str, depth: int
) -> Iterator[tuple[str, bytes, str]]:
    try:
        with tarfile.open(fileobj=archive.extractfile(member)) as inner:
            for below, content, fault in _files(inner, name, depth):
                yield f"{name.removesuffix('.tar')}/{below}", content, fault
    except Exception as error:
        yield name, b"", f"broken inner tar: {one_line(error)}"
