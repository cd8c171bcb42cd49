"""What lies at the path that a user names: which adapter reads it, and whether it brings its own validation split."""

from __future__ import annotations

import functools
import itertools
import os
import re
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path, PurePath
from typing import TYPE_CHECKING

from simmim import plugin
from simmim.config.component_settings import checked
from simmim.config.reading import parse_set
from simmim.data.samples import Source
from simmim.data.sources._files import is_folder, is_hidden, normal_form
from simmim.plugin import Component
from simmim.storage.reading import existing, some_of

if TYPE_CHECKING:
    from simmim.data.bands import Bands

TRAIN_NAMES = "train", "training", "train2017", "train2014"
VAL_NAMES = "val", "validation", "valid", "val2017", "val2014", "test", "testing"
_TAR = ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz"
_LISTS = ".txt", ".lst", ".list"
_ARRAYS = {".npy", ".npz"}
_TRIED = 50  # files, one of which is an image


@dataclass(frozen=True)
class Found:
    """How a path is read.

    Args:
        root: what `$data` stands for.
        train, val: rows of datasets.tsv, adapter and settings; `val` is None where a part of `train` is held out.
        words: what was found.
    """

    root: Path
    train: tuple[str, str]
    val: tuple[str, str] | None
    words: str

    @functools.cached_property
    def bands(self) -> Bands | None:
        """Of its first image, where that is no picture; all images of a set have the same.

        A README that comes before it is none, and so is a damaged file.
        """
        from simmim.data.decode import BadImage, bands_of  # and what reads pictures, which not every verb needs

        files = (sample for sample in self.source(self.train).samples() if not sample.fault)
        for sample in itertools.islice(files, _TRIED):
            with suppress(BadImage):
                return bands_of(sample.read().image)
        return None

    def source(self, row: tuple[str, str]) -> Source:
        """The adapter of a row."""
        settings = {key: text.replace("$data", str(self.root)) for key, text in parse_set(row[1]).items()}
        return plugin.build("data.sources", Component(**checked("data.sources", {"name": row[0]} | settings)))


def images_at(path: Path | str) -> Found:
    """Images without labels: a folder however nested, a tar, Parquet, or a text file that lists them."""
    root = _images(path)
    if root.is_dir() and not _is_parquet(root):
        return _folder(root, "", "images")
    if root.name.endswith(_LISTS):
        return Found(root, ("image_list", "file=$data"), None, "a list of images")
    return _file(root, "", 'label_column=""')


def classes_at(path: Path | str) -> Found:
    """Images in class folders, in a folder or a tar, or Parquet with labels."""
    root = _images(path)
    if root.is_dir() and not _is_parquet(root):
        found = _folder(root, " class_folders=true", "class folders")
    else:
        found = _inside(_file(root, " class_folders=true", ""))
    if found.val is None:
        _refuse_splits(found)
    return found


def _folder(root: Path, settings: str, what: str) -> Found:
    entries = visible(root.iterdir())
    folders = [each for each in entries if each.is_dir()]
    train, held = named(folders, TRAIN_NAMES), named(folders, VAL_NAMES)
    val = named([each for each in folders if _has_classes_of(train, each)], VAL_NAMES) if train and settings else held
    pictures = [each for each in entries if _is_picture(each)] if train else []
    if train and val:
        rows = [("image_folder", f"root=$data/{each.name}{settings}") for each in (train, val)]
        words = f"a folder with {train.name} and {val.name}{_left_out(folders, (train, val), pictures)}"
        return Found(root, rows[0], rows[1], words)
    if train and held:
        unlabelled = f"{held.name} left out: no class folder of {train.name} is in it"
        left = f" ({unlabelled}){_left_out(folders, (train, held), pictures)}"
    elif train and len(folders) == 1 and (settings or not pictures):  # no class, but the part of a set that was fetched
        left = _left_out(folders, (train,), pictures)
    else:
        return Found(root, ("image_folder", f"root=$data{settings}"), None, f"a folder of {what}")
    row = "image_folder", f"root=$data/{train.name}{settings}"
    return Found(root, row, None, f"{train.name} of a folder of {what}{left}")


def _has_classes_of(train: Path, other: Path) -> bool:
    """Whether a folder holds class folders, as another does: images that are still to be labelled score nothing.

    Those of other classes than the other's are refused later, in words of their own.
    """
    classes, others = (
        {normal_form(entry.name) for entry in os.scandir(each) if is_folder(entry) and not is_hidden(entry.name)}
        for each in (train, other)
    )
    return not classes or len(others) > 1 or not classes.isdisjoint(others)


def _left_out(folders: list[Path], splits: tuple[Path, ...], pictures: list[Path]) -> str:
    """What lies beside the splits of a folder and is in none of them; "" for nothing."""
    others = sorted(each for each in folders if each not in splits)
    beside = f"{len(pictures)} image{'s'[: len(pictures) > 1]} in {splits[0].parent} itself"
    if not (left := [each.name for each in others] + [beside] * bool(pictures)):
        return ""
    which = "for that" if len(others) == 1 else "for one of these folders"
    return f" ({some_of(left)} left out" + (f"; {which} give --data {others[0]})" if others else ")")


def _is_picture(path: Path) -> bool:
    """By its name."""
    from simmim.data.decode import SUFFIXES

    return path.suffix.lower() in SUFFIXES | _ARRAYS and path.is_file()


def _file(root: Path, tar_settings: str, parquet_settings: str) -> Found:
    if root.name.endswith(_TAR):
        return Found(root, ("tar", f"archive=$data{tar_settings}"), None, "a tar file")
    if root.is_dir():
        return _parquet(root, parquet_settings)
    if root.suffix == ".parquet":
        return Found(root, ("hf_parquet", f"files=$data {parquet_settings}".strip()), None, "Parquet")
    raise ValueError(f"--data {root} is neither a folder nor a .tar, .parquet or .txt file (a list of images)")


def _inside(found: Found) -> Found:
    """The same below the one folder that a tar was made of (`tar cf set.tar photos`), if that holds class folders."""
    source = found.source(found.train)
    if found.train[0] != "tar" or len(source.classes()) != 1:
        return found
    with suppress(ValueError):  # for an odd name, and for tar files in a tar, whose folders have no root
        folder = os.path.commonpath([PurePath(sample.id).parent.parent for sample in source.samples()])
        row = "tar", f'{found.train[1]} root="{folder}"'
        inside = replace(found, train=row, words=f"a tar file, {folder}/ in it")
        if folder and parse_set(row[1])["root"] == folder and inside.source(row).classes():
            return inside
    return found


def _parquet(root: Path, settings: str) -> Found:
    """A folder of Parquet files, train-00000-of-00002.parquet or train.parquet, or both, where a split has a name."""
    stems = [path.stem for path in visible(root.glob("*.parquet"))]
    names = sorted({Path(stem.partition("-")[0]) for stem in stems})
    train, val = named(names, TRAIN_NAMES), named(names, VAL_NAMES)
    if not train or not val:
        return Found(root, ("hf_parquet", f"files=$data/*.parquet {settings}".strip()), None, "Parquet")
    rows = []
    for split in (train, val):
        numbered = any(stem.startswith(f"{split}-") for stem in stems)
        rest = ("[.-]*parquet" if numbered else ".parquet") if str(split) in stems else "-*.parquet"
        rows.append(("hf_parquet", f"files=$data/{split}{rest} {settings}".strip()))
    left = [str(name) for name in names if name not in (train, val)]
    words = f"Parquet with {train} and {val}" + (f" ({some_of(left)} left out)" if left else "")
    return Found(root, rows[0], rows[1], words)


def _refuse_splits(found: Found) -> None:
    """Refuse folders that are splits and would be taken for classes: one is called train, another holds its folders.

    Files of Parquet that are splits would be taken for one set.
    """
    if found.train[0] == "hf_parquet":
        return _refuse_split_files(found.root)
    source = found.source(found.train)
    trains = {name for name in source.classes() if _words(name) & _words(*TRAIN_NAMES)}
    if not trains:
        return
    folders = sorted({parts[:2] for sample in source.samples() if len(parts := PurePath(sample.id).parts) > 2})
    inside = {name: split for split, name in folders if split in trains}
    for other, name in folders:
        if other not in trains and name in inside:
            raise ValueError(
                f"{inside[name]} and {other} in {found.root} both hold '{name}': they are splits, no classes; call "
                "their folders train and val (a tar has to be unpacked), or give the folder of one of them"
            )


def _refuse_split_files(root: Path) -> None:
    names = sorted(path.name for path in visible(root.glob("*.parquet")))
    train, val = ([name for name in names if _words(name) & _words(*split)] for split in (TRAIN_NAMES, VAL_NAMES))
    if train and val:
        raise ValueError(
            f"{train[0]} and {val[0]} in {root} are splits of a set; call them train.parquet and val.parquet, several "
            "train-0.parquet and so on, or give one of them"
        )


def _words(*names: str) -> set[str]:
    """The words that names consist of, without digits."""
    return {word for name in names for word in re.findall("[a-z]+", name.lower())}


def _is_parquet(folder: Path) -> bool:
    """Whether a folder is one of Parquet files, not one of pictures with a table beside them."""
    tables = visible(folder.glob("*.parquet"))
    if not tables or not any(each.is_dir() or _is_picture(each) for each in visible(folder.iterdir())):
        return bool(tables)
    from simmim.data.sources.hf_parquet import holds_images

    return any(map(holds_images, tables))


def _images(path: Path | str) -> Path:
    """What lies at a path; of a data set as hubs have it the folder of its Parquet files."""
    root = existing(path, "--data")
    inner = root / "data"
    return inner if inner.is_dir() and _is_parquet(inner) and not _is_parquet(root) else root


def visible(paths: Iterable[Path]) -> list[Path]:
    """Those that are a user's own."""
    return [path for path in paths if not is_hidden(path.name)]


def named(paths: list[Path], names: tuple[str, ...]) -> Path | None:
    """The first path that has one of these names, or ends in one, in small or capital letters.

    COCO's own folder of annotations has captions and key points beside its instances.
    """
    first = sorted(paths, key=lambda path: (not path.name.startswith("instances_"), path))
    called = [(path, f"_{path.stem.lower().removesuffix('_set')}") for path in first]
    return next((path for name in names for path, stem in called if stem.endswith(f"_{name}")), None)
