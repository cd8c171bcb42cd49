"""Do the tests notice when a line is wrong? Applies one-line mutants, one at a time, and runs the tests that guard it.

    make mutants                          all of them
    python tests/mutants/run.py data      those of tests/mutants/data.tsv

A row of a sheet is: file, the old fragment (which stands in it once), the new one, the tests to run, and, for a mutant
that cannot matter, the reason why. Prints the survivors; exit status 1 where there are any. Works in copies of the
project, and forks from a process that has imported the libraries: most mutants then take two or three seconds.
"""

from __future__ import annotations

import argparse
import csv
import importlib
import multiprocessing
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
SHEETS = Path(__file__).parent
PARTS = ("simmim", "tests", "config", "workflow", "docs", "benchmarks", "results", ".github", ".test")
FILES = (
    "pyproject.toml",
    "README.md",
    "Makefile",
    "environment.yml",
    "CITATION.cff",
    "LICENSE",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "Containerfile",
    ".dockerignore",
    ".snakemake-workflow-catalog.yml",
)
LIBRARIES = [
    "pytest",
    "pandas",
    "pyarrow.parquet",
    "torch",
    "torchvision",
    "timm.data",
    "timm.models",
    "sklearn.cluster",
    "scipy.ndimage",
    "matplotlib.pyplot",
    "seaborn",
    "statsmodels.stats.multitest",
    "segmentation_models_pytorch",
    "jinja2",
    "pydantic",
]
TIMEOUT_SECONDS = 300
ALL_SECONDS = 3600  # for all tests of all sheets
_copy: Path | None = None  # of the project, this worker's own


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


def mutants(sheets: list[str]) -> Iterator[Mutant]:
    """The rows of some sheets, or of all."""
    for path in sorted(SHEETS.glob("*.tsv")):
        if not sheets or path.stem in sheets:
            lines = [line for line in path.read_text(encoding="utf-8").splitlines() if line and line[0] != "#"]
            for row in csv.reader(lines, delimiter="\t", quoting=csv.QUOTE_NONE):
                yield Mutant(path.stem, *row)


def copy_project(scratch: str) -> None:
    """Make this worker's copy of the project."""
    global _copy
    _copy = Path(tempfile.mkdtemp(dir=scratch))
    for part in PARTS:
        shutil.copytree(ROOT / part, _copy / part, ignore=shutil.ignore_patterns("__pycache__"), symlinks=True)
    for name in FILES:
        shutil.copy(ROOT / name, _copy)


def passes(tests: str, seconds: int = TIMEOUT_SECONDS) -> bool:
    """Whether tests pass in this worker's copy; taking too long is failing."""
    child = os.fork()
    if child == 0:
        _run_tests(tests, seconds)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def _run_tests(tests: str, seconds: int) -> None:
    """In a process of its own, which never returns; what it starts dies with it."""
    import pytest

    os.setpgid(0, 0)
    signal.signal(signal.SIGALRM, lambda *_: os.killpg(0, signal.SIGKILL))
    signal.alarm(seconds)
    os.chdir(_copy)
    sys.path.insert(0, str(_copy))
    os.environ["PYTHONPATH"] = str(_copy)
    sys.dont_write_bytecode = True
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 1)
    os.dup2(nothing, 2)
    os._exit(pytest.main(["-x", "-q", "-p", "no:cacheprovider", *tests.split()]))


def verdict(mutant: Mutant) -> str:
    """'killed', 'survives', or why the mutant cannot be applied."""
    path = _copy / mutant.file
    text = path.read_text(encoding="utf-8")
    if text.count(mutant.old) != 1:
        return f"stands {text.count(mutant.old)} times in its file"
    path.write_text(text.replace(mutant.old, mutant.new), encoding="utf-8")
    try:
        return "survives" if passes(mutant.tests) else "killed"
    finally:
        path.write_text(text, encoding="utf-8")


def _told(answers: Iterator[bool | str], total: int) -> Iterator[bool | str]:
    """The same answers; every twentieth says how far this is, and a bad one what it is, as soon as it is known."""
    for number, answer in enumerate(answers, start=1):
        if number % 20 == 0 or answer not in (True, "killed"):
            print(f"{number} of {total}: {answer}", file=sys.stderr, flush=True)
        yield answer


def _failing(tests: list[str], pool: ProcessPoolExecutor) -> list[str]:
    """Those that fail as the project is: asked for all at once, and one by one where some do."""
    at_once = " ".join(sorted({name for each in tests for name in each.partition(" -k ")[0].split()}))
    if pool.submit(passes, at_once, ALL_SECONDS).result():
        return []
    return [each for each, good in zip(tests, _told(pool.map(passes, tests), len(tests))) if not good]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = [path.stem for path in sorted(SHEETS.glob("*.tsv"))]
    parser.add_argument(
        "sheets", nargs="*", choices=[*names, []], metavar="sheet", help=f"{', '.join(names)}; all by default"
    )
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args()
    every = list(mutants(options.sheets))
    wanted = [each for each in every if not each.reason]
    os.environ["OMP_NUM_THREADS"] = "1"  # as in tests/conftest.py, which a fork from here reads too late
    for library in LIBRARIES:
        importlib.import_module(library)
    with tempfile.TemporaryDirectory() as scratch:
        fork = multiprocessing.get_context("fork")
        # A Pool's workers are daemons, in which tests could not start loader workers.
        with ProcessPoolExecutor(options.jobs, fork, copy_project, (scratch,)) as pool:
            failing = _failing(sorted({each.tests for each in wanted}), pool)
            print(*[f"fails without any mutant: {each}" for each in failing], sep="\n", flush=True)
            wanted = [each for each in wanted if each.tests not in failing]
            verdicts = dict(zip(wanted, _told(pool.map(verdict, wanted), len(wanted))))
    other = {mutant: text for mutant, text in verdicts.items() if text != "killed"}
    print(f"{len(verdicts)} mutants, {len(verdicts) - len(other)} killed, {len(other)} not")
    for mutant, text in other.items():
        print(f"  {text}: {mutant} (tests: {mutant.tests})")
    for mutant in (each for each in every if each.reason):
        print(f"  cannot matter: {mutant}: {mutant.reason}")
    return int(bool(other or failing))


if __name__ == "__main__":
    sys.exit(main())
