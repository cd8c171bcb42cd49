"""What there is of a packed set: counts for its index, and what is too little or missing."""

from __future__ import annotations

import collections
import io
import re
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from simmim.data.decode import REDUCED
from simmim.data.layout import LABEL_MAP, QUARANTINE, set_digest
from simmim.storage.reading import some_of

_AT_ONCE = 64  # label maps
_OF_OBJECTS = re.compile(r"\d+ objects? ")  # notes of a source, which change no image
_TO_KEEP = "to keep 16 bits set pack.bits=16 and pack.bands=1 (grey) or 3 (colour) in datasets.tsv, or give .npy files"


def counts(samples: pa.Table, incidents: list[dict[str, str]], classes: list[str]) -> dict:
    """What the index says about the set as a whole."""
    labels = samples["label"].fill_null(-1).to_pylist()
    actions = [incident["action"] for incident in incidents]
    return {
        "digest": set_digest(classes, samples["sha256"].to_pylist(), labels),
        "samples": len(samples),
        "labelled": sum(label >= 0 for label in labels),
        "quarantined": actions.count("quarantined"),
        "converted": actions.count("converted"),
    }


def say_missing(out: Path, classes: list[str], samples: pa.Table, incidents: list[dict[str, str]]) -> None:
    """Print how many samples are left out or changed, the classes without images and the number without a class."""
    if broken := _broken(incidents):
        total = len(samples) + len(broken)
        print(f"{out}: {len(broken)} of {total} samples are left out ({QUARANTINE} lists them){_first_of(broken)}")
    is_dense = samples["annotation_sha256"].null_count < len(samples)
    _say_changed(out, len(samples), incidents, "" if is_dense else _TO_KEEP)
    if not classes or is_dense:
        return  # no classes, or those of objects and pixels
    labels = samples["label"].fill_null(-1).to_pylist()
    found = set(labels)
    empty = [name for label, name in enumerate(classes) if label not in found]
    if empty:
        print(f"{out}: no image of {len(empty)} of {len(classes)} classes: {some_of(empty)}")
    if labels.count(-1):
        print(f"{out}: {labels.count(-1)} of {len(labels)} images have no label")


def _say_changed(out: Path, total: int, incidents: list[dict[str, str]], to_keep: str) -> None:
    """Print how many images are not as they were and why; `to_keep` follows where bits were lost."""
    converted = [incident["reason"].split("; ") for incident in incidents if incident["action"] == "converted"]
    changes = [kinds for each in converted if (kinds := [kind for kind in each if not _OF_OBJECTS.match(kind)])]
    counted = collections.Counter(kind for kinds in changes for kind in kinds).most_common()
    if counted:
        said = some_of([f"{kind} ({number})" if len(counted) > 1 else kind for kind, number in counted])
        advice = f"; {to_keep}" if to_keep and REDUCED in dict(counted) else ""
        print(f"{out}: {len(changes)} of {total} images were changed ({QUARANTINE} lists them): {said}{advice}")


def values_of_maps(shard: Path) -> set[int]:
    """What stands in the label maps of a shard; nothing for annotations of another kind."""
    values: set[int] = set()
    for batch in pq.ParquetFile(shard, page_checksum_verification=True).iter_batches(_AT_ONCE, columns=["annotation"]):
        for annotation in batch.column("annotation").to_pylist():
            if annotation and annotation.startswith(LABEL_MAP):
                label_map = np.asarray(Image.open(io.BytesIO(annotation)))
                values |= {*np.flatnonzero(np.bincount(label_map.ravel())).tolist()}
    return values


def say_unmapped(out: Path, classes: list[str], values: Iterable[set[int]]) -> None:
    """Print the classes that no pixel has, and where label maps seem to count classes from 0."""
    found = set().union(*values)
    absent = [name for value, name in enumerate(classes, 1) if value not in found]
    if found and absent:
        print(f"{out}: no pixel of {len(absent)} of {len(classes)} classes: {some_of(absent)}")
        if 0 in found and len(classes) not in found:
            print(f"{out}: 0 is a pixel without a class, 1 the first class; if your maps count from 0, add 1 to all")


def check_enough(usable: int, incidents: list[dict[str, str]], max_share: float, out: Path) -> None:
    """Refuse a set without a usable sample, or with too many broken ones.

    Raises:
        ValueError: naming the first of them.
    """
    broken = _broken(incidents)
    total = usable + len(broken)
    if total == 0:
        raise ValueError(f"the source of {out} holds no samples; check its path")
    if usable == 0 or len(broken) > max_share * total:
        raise ValueError(
            f"{len(broken)} of {total} samples are unusable, max_quarantined_share={max_share} allows "
            f"{int(max_share * total)}{_first_of(broken)}. All are listed in {out / QUARANTINE}"
        )


def _broken(incidents: list[dict[str, str]]) -> list[dict[str, str]]:
    return [incident for incident in incidents if incident["action"] == "quarantined"]


def _first_of(broken: list[dict[str, str]]) -> str:
    return f"; the first is {broken[0]['sample_id']!r}: {broken[0]['reason']}"
