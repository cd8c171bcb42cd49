"""How long Snakemake plans: a dry run of the whole paper, and of as much with hundreds of rows more.

    python benchmarks/planning.py [--rows 0 200 2000] [--turns 3]

The rows are pre-trainings with an evaluation each, appended to the sheets of a copy of the workflow. The rate is jobs a
second of the clock.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from measure import Measured, Way, compare, table

ROOT = Path(__file__).parents[1]
SCALE, RECIPE, EVALUATION = "paper", "swin_b_100ep", ("finetune", "finetune_swin_b")


def project(folder: Path, rows: int) -> list[str]:
    """A copy of the workflow with so many rows more; the records that these ask for."""
    for part in ("workflow", "config", "simmim"):
        shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
    names = [f"more_{number}" for number in range(rows)]
    for sheet, lines in {
        "pretrain.tsv": [f"{name}\t{RECIPE}\t\n" for name in names],
        "evaluate.tsv": [f"{name}\t{EVALUATION[0]}\t{EVALUATION[1]}\t\n" for name in names],
    }.items():
        with open(folder / "config" / sheet, "a", encoding="utf-8") as file:
            file.writelines(lines)
    return [f"results/{SCALE}/evaluate/{name}/{EVALUATION[0]}.parquet" for name in names]


def dry_run(folder: Path, targets: list[str]) -> Way:
    """Plan it all, and count the jobs."""
    command = [sys.executable, "-m", "snakemake", "--dry-run", "--quiet", "rules", "--cores", "1"]
    command += ["--config", f"scale={SCALE}", "--", *(["all", *targets] if targets else ["all"])]

    def run() -> int:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"the dry run failed: {(done.stderr or done.stdout)[-500:]}")
        found = re.search(r"^total +(\d+)", done.stdout + done.stderr, re.MULTILINE)
        return int(found[1]) if found else 0

    return run


def measured(turns: int, quick: bool = False, rows: tuple[int, ...] = (0, 200, 2000)) -> Iterator[Measured]:
    """Jobs a second."""
    with tempfile.TemporaryDirectory() as scratch:
        for more in rows[:1] if quick else rows:
            folder = Path(scratch, str(more))
            plan = dry_run(folder, project(folder, more))
            yield from compare("planning", {f"{plan()} jobs": plan}, turns, clock=time.perf_counter)


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[0, 200, 2000])
    parser.add_argument("--turns", type=int, default=3)
    options = parser.parse_args()
    print(table(list(measured(options.turns, rows=tuple(options.rows)))))


if __name__ == "__main__":
    main()
