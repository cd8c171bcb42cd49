"""CPU time until a verb begins to work, beside the libraries that it cannot do without.

    python benchmarks/start_up.py [--turns 5]

Each way is a fresh process that imports what a job of this kind imports. An optimizer of torch imports the compiler
(torch._dynamo) when it is made, so trainings cannot be without it; what trains nothing and needs no network needs no
torch.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Iterator

from measure import Measured, Way, compare, table

IMPORTS = {
    "limit: torch and timm": "import torch, timm",
    "pre-training": "import simmim.pretraining.run",
    "evaluation": "import simmim.evaluate.job",
    "packing": "import simmim.data.packing",
    "tables and figures": "import simmim.report.catalogue",
    "what Snakemake parses": "import simmim.jobs",
    "torch alone": "import torch",
}
QUICK = "packing", "what Snakemake parses"


def started(words: str) -> Way:
    """A process that imports something and ends."""

    def run() -> int:
        subprocess.run([sys.executable, "-c", words], check=True)
        return 1

    return run


def measured(turns: int, quick: bool = False) -> Iterator[Measured]:
    """Starts in a CPU second; the ratio is to what needs torch and timm."""
    ways = {name: started(words) for name, words in IMPORTS.items() if not quick or name in QUICK}
    yield from compare("starts", ways, turns)


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=5)
    print(table(list(measured(parser.parse_args().turns))))


if __name__ == "__main__":
    main()
