"""All comparisons of speed on this machine, into docs/performance.md and benchmarks/measured.parquet.

    make bench [IMAGES=data/imagenet/val]
    python benchmarks/bench.py [loader packing steps planning start_up] --images FOLDER [--turns 5] [--quick]

What needs JPEGs is left out, and said so, where the folder has none. --quick runs everything once with the least there
is to do, writes nothing, and shows only that the comparisons still run.
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path

import loader
import packing
import pandas as pd
import planning
import start_up
import steps
import torch
from measure import Measured, machine, table

from simmim.machine import keep_freed_memory
from simmim.storage.files import write_text

ROOT = Path(__file__).parents[1]
PAGE, RECORDS = ROOT / "docs" / "performance.md", ROOT / "benchmarks" / "measured.parquet"
BEGIN, END = "<!-- made by make bench -->\n", "<!-- end -->\n"


def rows_of(name: str, images: Path, turns: int, quick: bool) -> Iterator[Measured]:
    """What one comparison measures."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    few = 8 if quick else 300
    if name == "steps":
        for shape in ["micro"] if quick else steps.SHAPES:
            yield from steps.measured(shape, 2 if quick else 128 if shape == "micro" else 4, turns, device)
    else:
        parts: dict[str, Callable[[], Iterator[Measured]]] = {
            "loader": lambda: loader.measured(images, few, 1, turns),
            "packing": lambda: packing.measured(images, few, [1, 2], turns),
            "planning": lambda: planning.measured(turns, quick),
            "start_up": lambda: start_up.measured(turns, quick),
        }
        yield from parts[name]()


NAMES = "loader", "packing", "steps", "planning", "start_up"


def main() -> None:
    """Measure, print, and write down what was measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(NAMES)}; all by default")
    parser.add_argument("--images", type=Path, default=ROOT / "data/imagenet/val")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    if unknown := sorted({*options.names} - {*NAMES}):
        parser.error(f"{unknown[0]!r} is none of {', '.join(NAMES)}")
    torch.set_num_threads(1)
    keep_freed_memory()
    found: list[Measured] = []
    for name in options.names or NAMES:
        try:
            rows = list(rows_of(name, options.images, 1 if options.quick else options.turns, options.quick))
        except SystemExit as reason:
            print(f"{name} left out: {reason}\n")
            continue
        print(table(rows), flush=True)
        found += rows
    if not options.quick:
        _write(found)


def _write(rows: list[Measured]) -> None:
    """The records, and the table on the page in place of the one before."""
    frame = pd.DataFrame([dataclasses.asdict(row) | machine() for row in rows])
    frame.to_parquet(RECORDS, index=False)
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    measured_on = ", ".join(f"{key} {value}" for key, value in machine().items())
    write_text(PAGE, f"{before}{BEGIN}\nOne thread on: {measured_on}.\n\n{table(rows)}\n{END}{after}")


if __name__ == "__main__":
    main()
