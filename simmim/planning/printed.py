"""A plan as people read it in a terminal of 80 columns."""

from __future__ import annotations

import functools
import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from simmim.planning.gpus import Machine
from simmim.planning.jobs import EVALUATE, FEATURES, FIRST_STAGE, PRETRAIN, TOKENIZER
from simmim.planning.printed_saves import columns, saves_text
from simmim.planning.rows import CANNOT_BE, DATA, DONE, TO_DO, name_of

Row = Mapping[str, Any]

WIDTH = 80
_NAME_WIDTH, _WIDTHS = 30, (8, 8, 8, 10, 8, 8)
_RULE = "-" * WIDTH
_KINDS = {
    DATA: ("data set", "data sets"),
    TOKENIZER: ("tokenizer", "tokenizers"),
    FIRST_STAGE: ("first stage", "first stages"),
    PRETRAIN: ("pre-training", "pre-trainings"),
    FEATURES: ("set of features", "sets of features"),
    EVALUATE: ("evaluation", "evaluations"),
}
_UNITS = " kMGTPEZY"
_UNKNOWN = "?"
_NOTE = (
    "Counted: parameters and FLOPs (M 1e6, G 1e9, P 1e15, E 1e18, Z 1e21), a multiply-add being two; training is three "
    "forward passes an image, four where activations are computed again; detectors with every region they may draw. "
    "Estimated: hours, memory, disk. Published trainings of this kind use 5 to 25 % of a GPU's peak; 35 % takes a "
    "well-tuned step. Loading, packing and scoring on the CPU come on top."
)

_columns = functools.partial(columns, (_NAME_WIDTH, *_WIDTHS))


def text_of(target: str, scale: str, rows: Sequence[Row], machine: Machine, verdicts: Iterable[str] = ()) -> str:
    """The plan: a line per row, totals of what is to do, what cannot be, and how the numbers are made.

    Args:
        verdicts: sentences on what can end and what cannot.
    """
    shown = [row for row in rows if row["state"] != CANNOT_BE]
    cannot = [row for row in rows if row["state"] == CANNOT_BE]
    peak = f"{machine.gpu.peak_tflops:g} TFLOP/s, of which {100 * machine.utilisation:g} % are used"
    lines = [*_wrapped(f"Plan of {target} at scale '{scale}' on {machine.name}: {peak}"), ""]
    if shown:
        lines += [*_heads(machine), *_lines(shown, machine), _RULE, *_totals(shown), "", *_notes(shown, machine)]
        lines += saves_text(rows, WIDTH)
        lines += [line for verdict in verdicts for line in _wrapped(verdict)]
    else:
        lines.append("Nothing to train.")
    if cannot:
        lines += ["", f"Cannot be at scale '{scale}':", *_reasons(cannot)]
    return "\n".join(lines)


def _heads(machine: Machine) -> Iterator[str]:
    yield _columns("", "images", "", "", machine.name, "GB on", "GB on")
    yield _columns("job", "seen", "params", "FLOPs", "hours", "a GPU", "disk")
    yield _RULE


def _lines(rows: Sequence[Row], machine: Machine) -> Iterator[str]:
    trained = {row["run"] for row in rows if row["kind"] == PRETRAIN}
    for row in rows:
        name, numbers = _name(row, trained), _numbers(row, machine)
        if len(name) > _NAME_WIDTH:
            yield name
            name = ""
        yield _columns(name, *numbers)


def _name(row: Row, trained: set[str]) -> str:
    if row["kind"] == DATA:
        return f"{row['run']}/{row['evaluation']} (data)"
    if row["kind"] == TOKENIZER:
        return f"{row['run']} (tokenizer)"
    if row["kind"] == FIRST_STAGE:
        return f"{row['run']} (first stage)"
    if row["kind"] in (FEATURES, EVALUATE):
        name = row["evaluation"]
        if row["kind"] == FEATURES:
            name = f"features at {name.partition('px_')[0]} px"
        return f"  {name}" if row["run"] in trained else f"{row['run']}/{name}"
    return row["run"]


def _numbers(row: Row, machine: Machine) -> tuple[str, ...]:
    if row["kind"] == DATA:
        return _short(row["images"]), "", "", DONE if row["state"] == DONE else "", "", _gigabytes(row["disk_bytes"])
    hours = DONE if row["state"] == DONE else _hours(row["gpu_hours"])
    return (
        _short(row["images"]),
        _short(row["parameters"]),
        _short(row["flops"]),
        hours,
        _gigabytes(row["memory_bytes"]) + ("!" if _does_not_fit(row, machine) else ""),
        _gigabytes(row["disk_bytes"]),
    )


def _totals(rows: Sequence[Row]) -> Iterator[str]:
    """What is to do, by kind and in all."""
    to_do = [row for row in rows if row["state"] == TO_DO]
    for kind, (one, many) in _KINDS.items():
        if mine := [row for row in to_do if row["kind"] == kind]:
            yield _total(f"to do: {len(mine)} {one if len(mine) == 1 else many}", mine)
    if len({row["kind"] for row in to_do}) > 1:
        yield _total("to do in all", to_do)
    if done := len(rows) - len(to_do):
        yield f"done: {done}"


def _total(name: str, rows: Sequence[Row]) -> str:
    """Sums over rows, and their largest memory; images of data sets do not count as seen."""
    jobs, disk = [row for row in rows if row["kind"] != DATA], _sum(rows, "disk_bytes", _gigabytes)
    if not jobs:
        return _columns(name, _sum(rows, "images", _short), "", "", "", "", disk)
    most, hours = max(row["memory_bytes"] for row in jobs), _sum(jobs, "gpu_hours", _hours)
    return _columns(name, _sum(jobs, "images", _short), "", _sum(jobs, "flops", _short), hours, _gigabytes(most), disk)


def _sum(rows: Sequence[Row], column: str, written: Callable[[float | None], str]) -> str:
    """The sum of a column; with a plus where some of its values are not known."""
    known = [row[column] for row in rows if row[column] is not None]
    return written(sum(known)) + ("+" if len(known) < len(rows) else "") if known else _UNKNOWN


def _notes(rows: Sequence[Row], machine: Machine) -> Iterator[str]:
    to_do = [row for row in rows if row["state"] == TO_DO and row["kind"] != DATA]
    known = [row["gpu_hours"] for row in to_do if row["gpu_hours"] is not None]
    if known:
        days = _days(sum(known) / machine.gpus)
        yield from _wrapped(f"With {machine.gpus} GPUs a job and one job after another: {days}.")
    if to_do:
        checkpoints = _gigabytes(max(row["checkpoint_bytes"] for row in to_do))
        yield from _wrapped(f"While it runs, a job keeps up to {checkpoints} GB of checkpoints beside what stays.")
    if any(row["kind"] == FEATURES for row in to_do):
        yield from _wrapped("Features go from the disk when the probe and k-NN that read them are done.")
    if machine.gpu.remark:
        yield from _wrapped(f"{machine.name}: {machine.gpu.remark}.")
    if any(row["images"] is None for row in rows):
        yield from _wrapped(f"{_UNKNOWN} and +: not known before the data are made and packed.")
    yield from _too_large(rows, machine)
    yield from _wrapped(_NOTE)


def _too_large(rows: Sequence[Row], machine: Machine) -> Iterator[str]:
    """The rows that do not fit the GPU, by what would."""
    names: dict[int | None, list[str]] = {}
    for row in [row for row in rows if _does_not_fit(row, machine)]:
        names.setdefault(row["fitting_micro_batch"], []).append(name_of(row))
    if names:
        yield from _wrapped(f"! more than the {machine.gpu.memory_gb:g} GB of one {machine.name}; what would fit:")
    for most, those in names.items():
        fits = f"train.micro_batch={most}" if most else "nothing that one of these GPUs can hold, or more GPUs a job"
        fits = "a smaller settings.score_batch, which is found by itself" if most is None else fits
        text = f"{fits}: {', '.join(those)}"
        yield from textwrap.wrap(text, WIDTH, initial_indent="  ", subsequent_indent="    ")


def _does_not_fit(row: Row, machine: Machine) -> bool:
    return (row["memory_bytes"] or 0) > 1e9 * machine.gpu.memory_gb


def _reasons(rows: Sequence[Row]) -> Iterator[str]:
    """Each reason once, after the rows that have it."""
    names: dict[str, list[str]] = {}
    for row in rows:
        names.setdefault(row["reason"], []).append(name_of(row))
    for reason, those in names.items():
        text = f"{', '.join(those)}: {reason}"
        yield from textwrap.wrap(text, WIDTH, initial_indent="  ", subsequent_indent="    ")


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, WIDTH)


def _short(value: float | None) -> str:
    """Three digits and a unit: 128M, 8.76E."""
    if value is None:
        return _UNKNOWN
    power = 0
    while value >= 999.5 and power < len(_UNITS) - 1:
        value, power = value / 1000, power + 1
    digits = max(0, 2 - len(str(int(value))) + 1) if power else 0
    return f"{value:.{digits}f}{_UNITS[power]}".strip()


def _hours(value: float | None) -> str:
    if value is None:
        return _UNKNOWN
    return f"{value:,.1f}" if value >= 0.05 else "<0.1" if value else "-"


def _days(hours: float) -> str:
    return f"{hours / 24:,.1f} days" if hours >= 24 else f"{hours:.1f} hours"


def _gigabytes(value: float | None) -> str:
    if value is None:
        return _UNKNOWN
    return f"{value / 1e9:,.1f}" if value >= 5e7 else "<0.1" if value else "-"
