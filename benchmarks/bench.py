"""All comparisons of speed on this machine, into docs/performance.md and benchmarks/measured.parquet.

    make bench [IMAGES=data/imagenet/val]
    python benchmarks/bench.py [NAME ...] --images FOLDER [--turns 5] [--quick]

What needs JPEGs is left out, and said so, where the folder has none. --quick runs everything once with the least there
is to do, writes nothing, and shows only that the comparisons still run. What was measured of others than those named
stays in the table only where the machine is the same.
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import coco_scoring
import end_to_end
import frozen
import heads
import loader
import masks
import packing
import pandas as pd
import planning
import start_up
import steps
import torch
from measure import Measured, machine, put_between, table

from simmim.machine import keep_freed_memory

ROOT = Path(__file__).parents[1]
PAGE, RECORDS = ROOT / "docs" / "performance.md", ROOT / "benchmarks" / "measured.parquet"
BEGIN, END = "<!-- made by make bench -->\n", "<!-- end -->\n"


def comparisons(images: Path, turns: int, quick: bool) -> dict[str, Callable[[], Iterator[Measured]]]:
    """Every comparison by its name."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    few = 8 if quick else 300
    return {
        "loader": lambda: loader.measured(images, few, 1, turns),
        "packing": lambda: packing.measured(images, few, [1, 2], turns),
        "steps": lambda: of_all_shapes(partial(steps.measured, turns=turns, device=device), quick),
        "activations": lambda: of_all_shapes(partial(steps.activations, device=device), quick),
        "end_to_end": lambda: end_to_end.measured(images, few, turns),
        "heads": lambda: heads.measured(1 if quick else 2, turns, device),
        "masks": lambda: masks.measured(2 if quick else 128, turns),
        "frozen": lambda: frozen.measured(images, few, turns, quick),
        "coco_scoring": lambda: coco_scoring.measured(2 if quick else 400, turns),
        "planning": lambda: planning.measured(turns, quick),
        "start_up": lambda: start_up.measured(turns, quick),
    }


def of_all_shapes(measure: Callable[[str, int], Iterator[Measured]], quick: bool) -> Iterator[Measured]:
    """What is measured of a shape and a batch of so many images."""
    for shape in ["micro"] if quick else steps.SHAPES:
        yield from measure(shape, 2 if quick else 128 if shape == "micro" else 4)


def main() -> None:
    """Measure, print, and write down what was measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="a comparison; all by default")
    parser.add_argument("--images", type=Path, default=ROOT / "data/imagenet/val")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    ways = comparisons(options.images, 1 if options.quick else options.turns, options.quick)
    if unknown := sorted({*options.names} - {*ways}):
        parser.error(f"{unknown[0]!r} is none of {', '.join(ways)}")
    torch.set_num_threads(1)
    keep_freed_memory()
    found: dict[str, list[Measured]] = {}
    for name in options.names or ways:
        try:
            rows = list(ways[name]())
        except SystemExit as reason:
            print(f"{name} left out: {reason}\n")
            continue
        print(table(rows), flush=True)
        found[name] = rows
    if not options.quick:
        _write(found)


def _write(found: dict[str, list[Measured]]) -> None:
    """The records, and the table on the page in place of the one before."""
    made = [dataclasses.asdict(row) | {"comparison": name} for name, rows in found.items() for row in rows]
    frame = pd.DataFrame([each | machine() for each in made])
    if RECORDS.is_file():
        before = pd.read_parquet(RECORDS)
        here = (before[[*machine()]] == pd.Series(machine())).all(axis=1)
        before = before[here & ~before["comparison"].isin([*found])]
        frame = pd.concat([before, frame]).sort_values("comparison", kind="stable", ignore_index=True)
    frame.to_parquet(RECORDS, index=False)
    fields = [field.name for field in dataclasses.fields(Measured)]
    rows = [Measured(*row) for row in frame[fields].astype(object).where(frame[fields].notna(), None).values]
    measured_on = ", ".join(f"{key} {value}" for key, value in machine().items())
    put_between(PAGE, BEGIN, END, f"\nOne thread on: {measured_on}.\n\n{table(rows)}\n")


if __name__ == "__main__":
    main()
