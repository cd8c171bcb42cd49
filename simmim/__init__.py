"""SimMIM: A Simple Framework for Masked Image Modeling (arXiv 2111.09886), as a reproducible pipeline.

The verbs of the command line are functions of this package, with the same words: `simmim.pretrain(data=..., out=...)`
is `simmim pretrain --data ... --out ...`. Nothing heavy is imported before one of them is called.
"""

# ruff: noqa: F401
from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    from simmim.cli.tools import convert
    from simmim.exporting.api import export
    from simmim.exporting.embedding import embed
    from simmim.own.listing import list
    from simmim.own.pictures import reconstruct
    from simmim.own.pretraining import pretrain
    from simmim.own.result import Result
    from simmim.own.starting import init
    from simmim.own.transfer import detect, finetune, knn, probe, segment

__version__ = "0.1.0"

# Raised by hand when a change of the code changes the numbers of a stage: Snakemake sees it as a parameter
# and re-runs exactly that stage and what depends on it. The golden tests are its alarm.
NUMERICS = {"data": 2, "tokenizer": 2, "pretrain": 2, "evaluate": 3, "report": 2}

# Of the index and shards of packed data; it belongs to the hash of packing, so that a higher one packs anew.
PACKED_FORMAT = 3

# Name of the package -> the module that has it, imported when it is asked for.
_LAZY = {
    "pretrain": "simmim.own.pretraining",
    "finetune": "simmim.own.transfer",
    "probe": "simmim.own.transfer",
    "knn": "simmim.own.transfer",
    "detect": "simmim.own.transfer",
    "segment": "simmim.own.transfer",
    "reconstruct": "simmim.own.pictures",
    "init": "simmim.own.starting",
    "list": "simmim.own.listing",
    "Result": "simmim.own.result",
    "convert": "simmim.cli.tools",
    "export": "simmim.exporting.api",
    "embed": "simmim.exporting.embedding",
    "plan": "simmim.own.sheets_verbs",
    "verify": "simmim.own.sheets_verbs",
    "doctor": "simmim.own.sheets_verbs",
}


def __getattr__(name: str) -> Any:
    """One of the verbs."""
    if name not in _LAZY:
        raise AttributeError(f"module 'simmim' has no attribute '{name}'; it has {', '.join(sorted(_LAZY))}")
    return getattr(importlib.import_module(_LAZY[name]), name)


def __dir__() -> Iterable[str]:
    return sorted({*globals(), *_LAZY})
