"""What saving takes, as a small table under a plan, and what to change where it takes much."""

from __future__ import annotations

import functools
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from simmim.planning.rows import TO_DO, titled
from simmim.planning.saving import BYTES_A_SECOND, HOURS_OF_1024_GPUS, RESTART_SECONDS

Row = Mapping[str, Any]

_NAME_WIDTH, _WIDTHS = 34, (9, 10, 10, 9, 8)
_SHOWN = 3
_MUCH = 0.01  # of a training's time
_MUCH_HOURS = 0.1  # of a GPU, for all seeds: a training of seconds may spend as many on its one save
_NOTE = (
    f"Saves: estimated at {BYTES_A_SECOND / 1e9:g} GB/s. Apart: with these settings, and where by Young and Daly least "
    f"time is lost if a job of 1024 GPUs fails every {HOURS_OF_1024_GPUS:g} hours and {RESTART_SECONDS / 60:g} minutes "
    "pass until it goes on. ETTR: share of effective training time. save_every_steps and save_every_minutes "
    "may be changed at any time."
)


def columns(widths: Sequence[int], name: str, *cells: str) -> str:
    """A line of a table: a name to the left of its column, which is the first, and cells to the right of theirs."""
    row = name.ljust(widths[0]) + "".join(cell.rjust(width) for cell, width in zip(cells, widths[1:], strict=True))
    return row.rstrip()


_columns = functools.partial(columns, (_NAME_WIDTH, *_WIDTHS))


def saves_text(rows: Sequence[Row], width: int) -> Iterator[str]:
    """The trainings to do which saving takes most of, and a sentence for each where that is much."""
    trainings = [row for row in rows if row["state"] == TO_DO and row.get("save_share") is not None]
    if not trainings:
        return
    dearest = sorted(trainings, key=lambda row: row["save_share"], reverse=True)
    yield ""
    yield _columns("", "seconds", "minutes", "Young,", "of the", "")
    yield _columns("what saving takes", "a save", "apart", "Daly", "time", "ETTR")
    for row in dearest[:_SHOWN]:
        yield from _line(row)
    if (others := len(dearest) - _SHOWN) > 0:
        yield f"and {others} more, of which saving takes less"
    yield ""
    for text in [*_advice(dearest), _NOTE]:
        yield from textwrap.wrap(text, width)


def _line(row: Row) -> Iterator[str]:
    name = titled(row)
    if len(name) > _NAME_WIDTH:
        yield name
        name = ""
    apart, best = row["save_every_seconds"] / 60, row["young_daly_seconds"] / 60
    share, ettr = f"{100 * row['save_share']:.2f} %", f"{100 * row['ettr']:.2f} %"
    yield _columns(name, f"{row['save_seconds']:.1f}", f"{apart:,.1f}", f"{best:,.1f}", share, ettr)


def _advice(rows: Sequence[Row]) -> Iterator[str]:
    """What to change where saving takes more than a hundredth of a row's time, and more than some minutes."""
    for row in rows:
        if row["save_share"] > _MUCH and row["save_share"] * row["gpu_hours"] > _MUCH_HOURS:
            best = row["young_daly_seconds"]
            steps, minutes = round(best / row["step_seconds"]), round(best / 60)
            share = f"! saving takes {100 * row['save_share']:.1f} % of the time of {titled(row)}"
            yield f"{share}: raise train.save_every_steps to {steps} and save_every_minutes to {minutes}."
