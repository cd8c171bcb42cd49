"""What all comparisons share: ways to do the same work take turns, and the ratio is that of neighbours in time.

Counted is the CPU time of all processes, on a GPU wall time: other work on the machine lengthens seconds more than
ratios, and hits neighbouring turns alike.
"""

from __future__ import annotations

import argparse
import os
import platform
import resource
import statistics
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import torch

from simmim.storage.files import write_text

Way = Callable[[], int]  # does some work, returns how many items it has done


@dataclass(frozen=True)
class Measured:
    """Items a second of one way, and how many times as many as the first way did in the same turn.

    Args:
        work: what is done.
        rate, ratio: medians of all turns.
        low, high: the smallest and the largest ratio.
        goal: of the ratio; None for what is there to compare with.
    """

    work: str
    way: str
    rate: float
    ratio: float
    low: float
    high: float
    goal: float | None


def cpu_seconds() -> float:
    """CPU time of this process and of those that it has ended."""
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def compare(
    work: str,
    ways: Mapping[str, Way],
    turns: int,
    goals: Mapping[str, float] = {},
    clock: Callable[[], float] = cpu_seconds,
) -> list[Measured]:
    """Measure all ways in turn, after one turn that does not count where there are several; the first is the base."""
    rates: dict[str, list[float]] = {way: [] for way in ways}
    for turn in range(turns + (turns > 1)):
        for way, run in ways.items():
            began = clock()
            done = run()
            if turn or turns == 1:
                rates[way].append(done / (clock() - began))
    base = rates[next(iter(ways))]
    found = []
    for way, each in rates.items():
        ratios = [one / other for one, other in zip(each, base)]
        middle = statistics.median(each), statistics.median(ratios), min(ratios), max(ratios)
        found.append(Measured(work, way, *middle, goals.get(way)))
    return found


def jpegs(folder: Path, count: int) -> list[Path]:
    """So many JPEGs, spread over a folder of any depth."""
    files = sorted(each for each in folder.rglob("*") if each.suffix.lower() in (".jpg", ".jpeg"))
    if not files:
        raise SystemExit(f"{folder} holds no JPEG: name a folder that does")
    return files[:: max(1, len(files) // count)][:count]


def parser_of_images(words: str | None, images: int, turns: int) -> argparse.ArgumentParser:
    """The command line of a comparison that needs JPEGs, with its defaults."""
    parser = argparse.ArgumentParser(description=words, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="JPEGs, at any depth")
    parser.add_argument("--images", type=int, default=images, help="spread over the folder")
    parser.add_argument("--turns", type=int, default=turns)
    return parser


@contextmanager
def linked(files: list[Path]) -> Iterator[Path]:
    """A folder with nothing but these files."""
    with tempfile.TemporaryDirectory() as scratch:
        for number, file in enumerate(files):
            Path(scratch, f"{number:05d}{file.suffix.lower()}").symlink_to(file.resolve())
        yield Path(scratch)


def table(rows: list[Measured]) -> str:
    """As Markdown."""
    lines = ["| work | way | a second | ratio | from, to | goal |", "| --- | --- | --- | --- | --- | --- |"]
    for row in rows:
        rate = f"{row.rate:.0f}" if row.rate >= 100 else f"{row.rate:.3g}"
        goal = "" if row.goal is None else f"{row.goal:.3g}x"
        lines.append(f"| {row.work} | {row.way} | {rate} | {row.ratio:.2f}x | {row.low:.2f}, {row.high:.2f} | {goal} |")
    return "\n".join(lines) + "\n"


def put_between(page: Path, begin: str, end: str, text: str) -> None:
    """Replace what stands between two marks of a page; they are added at its end where it has none."""
    head, _, rest = page.read_text(encoding="utf-8").partition(begin)
    _, _, tail = rest.partition(end)
    write_text(page, f"{head}{begin}{text}{end}{tail}")


def machine() -> dict[str, str]:
    """What the numbers were measured on."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines() if Path("/proc/cpuinfo").is_file() else []
    model = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), "")
    return {
        "cpu": model or platform.machine(),
        "cores": str(len(os.sched_getaffinity(0))),
        "torch": torch.__version__,
        "kernels": torch.backends.cpu.get_cpu_capability(),
        "python": platform.python_version(),
        "pyarrow": pa.__version__,
    }
