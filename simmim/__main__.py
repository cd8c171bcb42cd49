"""The command line: `simmim VERB`, or `python -m simmim VERB`."""

from __future__ import annotations

import argparse
import importlib
import inspect
import os
import re
import sys
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

from simmim import plugin, said, stopping
from simmim.cli import export, report, tools, training
from simmim.cli._sheets import DEFAULT, jobs_for
from simmim.cli._words import Parser, check_words, path
from simmim.cluster.again import MINUTES
from simmim.own import listing, pictures, pretraining, starting, transfer
from simmim.storage.reading import os_error

EXIT_USER_ERROR, EXIT_NON_FINITE = 2, 4
EXIT_INTERRUPTED, EXIT_BROKEN_PIPE = 130, 141  # as of programs that SIGINT and SIGPIPE end
VERBS = (
    *(training.demo_data, training.pack, training.tokenizer, training.pretrain, training.first_stage),
    *(training.reconstruct, training.features, training.evaluate),
    *(report.size, report.avg_dist, report.mask_samples, report.table, report.figure, report.page, report.compare),
    *(tools.check, tools.plan, tools.doctor, tools.recover, tools.outdated, tools.clean),
    *(tools.verify, tools.migrate, tools.convert),
    *(export.export, export.embed),
)
OWN = (  # on own images; where a job of the workflow has the same name, --run tells it apart
    *(pretraining.pretrain, transfer.finetune, transfer.probe, transfer.knn, transfer.detect, transfer.segment),
    *(pictures.reconstruct, starting.init, listing.list),
)
LONG = (  # what heeds signals and --max-runtime
    *(training.pack, training.tokenizer, training.pretrain, training.first_stage),
    *(training.features, training.evaluate),
    *OWN[:6],
)
HEAVY = (
    "simmim.pretraining.run",
    "simmim.evaluate.job",
    "timm.models",
)  # take seconds to import, and long work needs them
_NAMES = {("convert", "source"): "--from", ("convert", "target"): "--to"}  # `from` is no name in Python


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb; every end but success is one line on stderr.

    Returns:
        0; 2 for a user's mistake, 4 for a non-finite loss, 75 for work that was asked to stop and is to be run again,
        130 for what Ctrl-C ended before that.
    """
    if said.waits():
        _import_all(sys.argv[1] if arguments is None else arguments[0])
        said.wait_for_turn()
    with said.alive():
        return said.ended(_run(arguments))


def _import_all(verb: str) -> None:
    for module in () if verb == "pack" else HEAVY:
        importlib.import_module(module)


def _run(arguments: Sequence[str] | None) -> int:
    try:
        options = _options(sys.argv[1:] if arguments is None else arguments)
    except ValueError as error:
        return _user_error(str(error))
    verb, config, results = options.pop("verb"), options.pop("config", None), options.pop("results", None)
    heeded = stopping.heeded(options.pop("max_runtime")) if verb in LONG else nullcontext()
    try:
        with heeded:
            verb(*([jobs_for(verb, config, results)] if config else []), **options)
            sys.stdout.flush()
    except ValueError as error:
        return _user_error(str(error))
    except ModuleNotFoundError as error:
        if missing := plugin.not_installed(f"simmim {verb.__name__.replace('_', '-')}", error):
            return _user_error(str(missing))
        raise
    except BrokenPipeError:
        _leave_stdout()
        return EXIT_BROKEN_PIPE
    except OSError as error:
        _leave_stdout()
        return _user_error(str(error) if error.errno is None else os_error(error))
    except stopping.Stopped as stop:
        print(f"simmim: stopped: {stop}", file=sys.stderr, flush=True)
        return stopping.EXIT_RUN_AGAIN
    except KeyboardInterrupt:
        print("simmim: stopped: interrupted", file=sys.stderr)
        return EXIT_INTERRUPTED
    except ArithmeticError as error:
        print(f"simmim: stopped: {error}", file=sys.stderr)
        return EXIT_NON_FINITE
    return 0


def _user_error(sentence: str) -> int:
    print(f"simmim: error: {sentence}", file=sys.stderr)
    return EXIT_USER_ERROR


def _leave_stdout() -> None:
    """Drop what stdout cannot take, because its reader is gone or its disk full; Python tries again at its end."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _options(words: Sequence[str]) -> dict[str, Any]:
    parser = Parser(prog="simmim", description=__doc__)
    verbs = parser.add_subparsers(required=True, metavar="verb")
    for verb in _meant(words).values():
        _add_verb(verbs, verb)
    check_words(words, verbs.choices)
    return vars(parser.parse_args(words))


def _meant(words: Sequence[str]) -> dict[str, Callable[..., Any]]:
    """The verbs by name; of two of one name the one on own images, unless a scale or row is named."""
    jobs, own = ({verb.__name__: verb for verb in verbs} for verbs in (VERBS, OWN))
    of_row = any(word.partition("=")[0] in ("--scale", "--run") for word in words)
    return own | jobs if of_row else jobs | own


def _add_verb(verbs: Any, verb: Callable[..., None]) -> None:
    """A verb whose options are its arguments, with their types and what its docstring says about them."""
    text = inspect.getdoc(verb) or ""
    first = text.splitlines()[0]
    about = dict(re.findall(r"^    (\w+): (.+)$", text, re.MULTILINE))
    parser = verbs.add_parser(verb.__name__.replace("_", "-"), help=first, description=first)
    parser.set_defaults(verb=verb)
    if verb in LONG:
        about_limit = "minutes until it saves and leaves with exit code 75 (0: no limit)"
        granted = float(os.environ.get(MINUTES, 0))
        parser.add_argument("--max-runtime", type=float, default=granted, help=about_limit)
    types = get_type_hints(verb)
    for name, argument in inspect.signature(verb).parameters.items():
        if name == "jobs":
            parser.add_argument("--config", type=path, default=DEFAULT, help="folder of the sheets")
            parser.add_argument("--results", type=path, default=Path("results"), help="folder of all scales")
        else:
            _add_option(parser, verb.__name__, argument, types[name], about.get(name))


def _add_option(
    parser: argparse.ArgumentParser, verb: str, argument: inspect.Parameter, kind: Any, about: str | None
) -> None:
    required = argument.default is argument.empty
    rest: dict[str, Any] = {"help": about} if required else {"help": about, "default": argument.default}
    if argument.kind is argument.POSITIONAL_OR_KEYWORD:
        parser.add_argument(argument.name, **rest if required else rest | {"nargs": "?"})
        return
    flag = _NAMES.get((verb, argument.name), f"--{argument.name.replace('_', '-')}")
    if kind is bool:
        parser.add_argument(flag, dest=argument.name, action="store_true", help=about)
        return
    if get_origin(kind) is not None:
        kind, several = get_args(kind)[0], "Sequence" in str(kind)
        if several:  # given twice, it is one list
            rest |= {"nargs": "*", "action": "extend"} | ({} if required else {"default": [*argument.default]})
    parser.add_argument(flag, dest=argument.name, type=path if kind is Path else kind, required=required, **rest)


if __name__ == "__main__":
    sys.exit(main())
