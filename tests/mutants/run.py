"""Do the tests notice when a line is wrong? Applies one-line mutants, one at a time, and runs the tests that guard it.

    make mutants                          all of them
    python tests/mutants/run.py data      those of tests/mutants/data.tsv

A row of a sheet is: file, the old fragment (which stands in it once), the new one, the tests to run, and, for a mutant
that cannot matter, the reason why. Prints the survivors; exit status 1 where there are any. Works in copies.
"""

from __future__ import annotations

import argparse
import csv
import os
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from queue import Queue

ROOT = Path(__file__).parents[2]
SHEETS = Path(__file__).parent
PARTS = ("simmim", "tests", "config", "workflow", "docs", "benchmarks", "results")
FILES = ("pyproject.toml", "README.md", "Makefile", "environment.yml", "CITATION.cff", "LICENSE")
TIMEOUT_SECONDS = 300


@dataclass(frozen=True)
class Mutant:
    """One changed line."""

    sheet: str
    file: str
    old: str
    new: str
    tests: str
    reason: str = ""

    def __str__(self) -> str:
        return f"{self.file}: {self.old!r} -> {self.new!r}"


def mutants(sheets: list[str]) -> list[Mutant]:
    """The rows of some sheets, or of all."""
    found = []
    for path in sorted(SHEETS.glob("*.tsv")):
        if not sheets or path.stem in sheets:
            lines = [line for line in path.read_text(encoding="utf-8").splitlines() if line and line[0] != "#"]
            rows = csv.reader(lines, delimiter="\t", quoting=csv.QUOTE_NONE)
            found += [Mutant(path.stem, *row) for row in rows]
    return found


def copied(folder: Path) -> Path:
    """A copy of the project."""
    for part in PARTS:
        shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"), symlinks=True)
    for name in FILES:
        if (ROOT / name).is_file():
            shutil.copy(ROOT / name, folder)
    return folder


def passes(folder: Path, tests: list[str]) -> bool:
    """Whether tests pass in a copy; taking too long is failing."""
    environment = os.environ | {"PYTHONPATH": str(folder), "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *tests]
    try:
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, timeout=TIMEOUT_SECONDS)
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0


def survives(mutant: Mutant, folder: Path) -> bool:
    """Whether the tests of a mutant pass with it.

    Raises:
        ValueError: where the old fragment does not stand exactly once in its file.
    """
    path = folder / mutant.file
    text = path.read_text(encoding="utf-8")
    if text.count(mutant.old) != 1:
        raise ValueError(f"{mutant}: stands {text.count(mutant.old)} times in its file")
    path.write_text(text.replace(mutant.old, mutant.new), encoding="utf-8")
    try:
        return passes(folder, mutant.tests.split())
    finally:
        path.write_text(text, encoding="utf-8")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sheets", nargs="*", help="names of sheets; all by default")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args()
    every = mutants(options.sheets)
    wanted, unable = [each for each in every if not each.reason], [each for each in every if each.reason]
    with tempfile.TemporaryDirectory() as scratch:
        folders: Queue[Path] = Queue()
        for number in range(options.jobs):
            folders.put(copied(Path(scratch) / str(number)))

        def check(mutant: Mutant) -> bool | str:
            folder = folders.get()
            try:
                return survives(mutant, folder)
            except ValueError as error:
                return str(error)
            finally:
                folders.put(folder)

        first = folders.get()
        tests = sorted({name for each in wanted for name in each.tests.split()})
        if not passes_one_by_one(first, tests):
            return 1
        folders.put(first)
        with ThreadPoolExecutor(options.jobs) as pool:
            results = list(zip(wanted, pool.map(check, wanted)))
    survivors = [mutant for mutant, result in results if result is True]
    stale = [result for _, result in results if isinstance(result, str)]
    print(f"{len(wanted)} mutants, {len(wanted) - len(survivors) - len(stale)} killed, {len(survivors)} survivors")
    for mutant in survivors:
        print(f"  survives: {mutant} (tests: {mutant.tests})")
    for line in stale:
        print(f"  to bring up to date: {line}")
    for mutant in unable:
        print(f"  cannot matter: {mutant}: {mutant.reason}")
    return int(bool(survivors or stale))


def passes_one_by_one(folder: Path, tests: list[str]) -> bool:
    """Without a mutant all tests must pass, or a kill would say nothing."""
    failing = [] if passes(folder, tests) else [name for name in tests if not passes(folder, [name])]
    for name in failing:
        print(f"fails without any mutant: {name}")
    return not failing


if __name__ == "__main__":
    sys.exit(main())
