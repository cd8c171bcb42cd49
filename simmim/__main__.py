"""The command line: `python -m simmim <verb>`, one verb per rule of the workflow."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from simmim import commands
from simmim.plan.gpus import GPUS

EXIT_USER_ERROR, EXIT_NON_FINITE = 2, 4


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb; a user's mistake is one line on stderr and exit code 2, a non-finite loss exit code 4."""
    options = _parser().parse_args(arguments)
    try:
        options.verb(options)
    except (ValueError, FileNotFoundError) as error:
        print(f"simmim: error: {error}", file=sys.stderr)
        return EXIT_USER_ERROR
    except ArithmeticError as error:
        print(f"simmim: stopped: {error}", file=sys.stderr)
        return EXIT_NON_FINITE
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="simmim", description=__doc__)
    verbs = parser.add_subparsers(required=True, metavar="verb")

    def plain_verb(function: Callable[[argparse.Namespace], None]) -> argparse.ArgumentParser:
        name = function.__name__.replace("_", "-")
        lines = (function.__doc__ or "").splitlines()
        added = verbs.add_parser(name, help=lines[0], description=lines[0])
        added.set_defaults(verb=function)
        return added

    def verb(
        function: Callable[[argparse.Namespace], None], *names: str, needs_scale: bool = True
    ) -> argparse.ArgumentParser:
        added = plain_verb(function)
        for option in ("scale", *names):
            added.add_argument(f"--{option.replace('_', '-')}", required=needs_scale or option != "scale")
        added.add_argument("--config", type=Path, default=Path("config"), help="folder of the sheets")
        added.add_argument("--results", type=Path, default=Path("results"))
        added.add_argument("--expect", default="", help="refuse if the config does not have this hash")
        return added

    verb(commands.check).add_argument("--runs", nargs="*", default=[], help="only these rows of pretrain.tsv")
    verb(commands.demo_data)
    verb(commands.pack, "dataset", "split")
    verb(commands.tokenizer, "tokenizer")
    verb(commands.pretrain, "run").add_argument("--seed", type=int, required=True)
    verb(commands.first_stage, "run").add_argument("--seed", type=int, required=True)
    verb(commands.recover, "run").add_argument("--seed", type=int, required=True)
    verb(commands.features, "run", "name").add_argument("--seed", type=int, required=True)
    verb(commands.evaluate, "run", "evaluation")
    verb(commands.size, "run")
    verb(commands.avg_dist)
    verb(commands.mask_samples)
    verb(commands.table, "name")
    verb(commands.figure, "name")
    verb(commands.page)
    _add_plan_options(verb(commands.plan, needs_scale=False))
    _add_convert_options(plain_verb(commands.convert))
    return parser


def _add_convert_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--from", dest="source", type=Path, required=True, help="a .pth or .safetensors")
    parser.add_argument("--to", dest="target", type=Path, required=True, help=".safetensors of ours, or released .pth")
    parser.add_argument("--image-px", type=int, help="side of the input it is written for (default: as in --from)")
    parser.add_argument("--window", type=int, help="attention window it is written for (default: as in --from)")
    parser.add_argument("--overwrite", action="store_true", help="replace --to if it exists")


def _add_plan_options(plan: argparse.ArgumentParser) -> None:
    target = "a table, a figure, a file below results/ or 'everything' (default)"
    plan.add_argument("target", nargs="?", default="everything", help=target)
    plan.add_argument("--gpu", default="A100", help=f"one of {', '.join(GPUS)} (A100)")
    plan.add_argument("--gpus", type=int, default=8, help="GPUs of a job (8)")
    plan.add_argument("--utilisation", type=float, default=0.35, help="share of its peak rate that is used (0.35)")
    plan.add_argument("--out", type=Path, help="Parquet file (results/{scale}/plan.parquet)")


if __name__ == "__main__":
    sys.exit(main())
