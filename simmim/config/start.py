"""An evaluation may begin with the encoder that a fine-tuning of its run has trained (ADE20K, Table 12). Torch-free."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

from simmim.config.resolve import Config, DoesNotFit
from simmim.config.sections import PRETRAINED
from simmim.plugin import check_choice

Rows = Mapping[tuple[str, ...], Mapping[str, str]]


def fine_tunings(rows: Rows, task_of: Callable[[tuple[str, ...]], str]) -> list[str]:
    """Names of the evaluations that fine-tune, and so leave their encoders for others.

    Args:
        rows: rows of evaluate.tsv by (run, evaluation).
        task_of: the task of a row.

    Raises:
        ValueError: for a name that fine-tunes one run and does something else with another: jobs go by the name.
    """
    tasks: dict[str, set[str]] = {}
    for row in rows:
        tasks.setdefault(row[1], set()).add(task_of(row))
    for name, found in tasks.items():
        if "finetune" in found and len(found) > 1:
            raise ValueError(f"evaluation '{name}' is {' and '.join(sorted(found))} in evaluate.tsv; use two names")
    return [name for name, found in tasks.items() if "finetune" in found]


def check_start(start: str, run: str, candidates: Collection[str], followers: tuple[str, ...]) -> None:
    """Refuse a start that leaves no encoder, or that starts from what is to start from it.

    Args:
        candidates: the run's fine-tunings.
        followers: the evaluation that is to start there, the one that starts from that, and so on.

    Raises:
        ValueError: naming the nearest fine-tuning, or the circle.
    """
    check_choice(f"fine-tuning of run '{run}' to start from", start, candidates)
    if start in followers:
        circle = " <- ".join([start, *followers[: followers.index(start) + 1]])
        raise ValueError(f"start={start}: a circle, {circle}; start one of them from '{PRETRAINED}'")


def check_is_run(start: str, unwanted: Collection[str]) -> None:
    """Refuse to start from what the scale is without.

    Raises:
        DoesNotFit: if it is.
    """
    if start in unwanted:
        raise DoesNotFit(f"it starts from '{start}', which this scale is without")


def started(config: Config) -> Config:
    """What a config keeps of the fine-tuning it starts from: name, hash, encoders and what it changed about them."""
    kept = {"evaluation": config["evaluation"], "config_hash": config["config_hash"], "seeds": config["seeds"]}
    return kept | {"encoder": config.get("start", {}).get("encoder", {}) | config["encoder"]}


def encoder_section(pretraining: Config, evaluation: Config) -> Config:
    """The encoder of an evaluation: the run's, changed by the fine-tuning before it, if there is one, and by itself."""
    return pretraining["encoder"] | evaluation.get("start", {}).get("encoder", {}) | evaluation["encoder"]
