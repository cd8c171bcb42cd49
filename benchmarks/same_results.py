"""Do two results folders of one scale hold the same numbers, bit for bit?

    python benchmarks/same_results.py results/smoke /elsewhere/results/smoke

Every record (but for times) is compared by run, evaluation, data set, part, seed, step and metric, and every stored
picture by its bytes. Records of version 0.1 are brought up to date in a copy first. Exit status 1 for any difference.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq

from simmim.migration import migrate
from simmim.train import speed

KEY = ["run", "evaluation", "dataset", "part", "seed", "step", "metric"]
TIMES = {"device_seconds", "wait_seconds", *speed.METRICS}
PICTURES = ["image", "hidden", "prediction"]


def records(folder: Path) -> pd.Series:
    """Values by key, of every file of records below a folder."""
    paths = [*folder.glob("pretrain/*/*/train.parquet"), *folder.glob("evaluate/*/*.parquet")]
    paths += [*folder.glob("size/*.parquet"), *folder.glob("avg_dist.parquet")]
    frame = pd.concat([pq.read_table(path, partitioning=None).to_pandas() for path in sorted(paths)])
    frame = frame[~frame["metric"].isin(TIMES)]
    values = frame.set_index(KEY)["value"].sort_index()
    assert values.index.is_unique, "one key stands for two values"
    return values


def pictures(folder: Path) -> dict[tuple, bytes]:
    """The bytes of every stored picture by file, row and column."""
    paths = sorted([*folder.glob("pretrain/*/*/reconstruction.parquet"), *folder.glob("mask_samples.parquet")])
    found = {}
    for path in paths:
        for number, row in enumerate(pq.read_table(path, partitioning=None).to_pylist()):
            found |= {(str(path.relative_to(folder)), number, name): row[name] for name in PICTURES if name in row}
    return found


def up_to_date(folder: Path, scratch: Path) -> Path:
    """A copy of the Parquet files of a folder, migrated."""
    for path in folder.rglob("*.parquet"):
        if path.relative_to(folder).parts[0] in ("pretrain", "evaluate", "size") or path.parent == folder:
            copy = scratch / path.relative_to(folder)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copy)
    migrate(scratch)
    return scratch


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as other:
        folders = up_to_date(options.before, Path(one)), up_to_date(options.after, Path(other))
        before, after = (records(folder) for folder in folders)
        shown = [pictures(folder) for folder in folders]
    both = before.to_frame("before").join(after.to_frame("after"), how="outer")
    same = (both["before"] == both["after"]) | (both["before"].isna() & both["after"].isna())
    differing = both[~same]
    keys = shown[0].keys() | shown[1].keys()
    other = sorted(key for key in keys if shown[0].get(key) != shown[1].get(key))
    print(f"{len(both)} records, {len(differing)} differ; {len(keys)} pictures, {len(other)} differ")
    if len(differing):
        print(differing.head(40).to_string())
    print(*other[:20], sep="\n")
    return int(bool(len(differing) or other))


if __name__ == "__main__":
    sys.exit(main())
