"""The plan of a target: worked out, written and printed."""

from __future__ import annotations

from pathlib import Path

from simmim.config.sheets import Sheets
from simmim.plan.cost import Costs
from simmim.plan.gpus import Machine
from simmim.plan.jobs import jobs_of
from simmim.plan.printed import text_of
from simmim.plan.rows import rows_of, write
from simmim.plan.target import needed


def plan(target: str, sheets: Sheets, scale: str, results: Path, machine: Machine, out: Path) -> str:
    """Write the plan of a target as Parquet to `out` and return what a terminal shows of it.

    Args:
        target: as `simmim.plan.target.needed` takes it.
        results: folder of all scales.

    Raises:
        ValueError: for an unknown target or scale, with the nearest valid one.
    """
    needs, misfits = needed(target, sheets, scale, results)
    rows = rows_of(jobs_of(needs, sheets, scale, results), misfits, Costs(sheets, scale, results, machine))
    settings = {"gpu": machine.name, "utilisation": machine.utilisation, "gpus": machine.gpus}
    write(out, rows, target=target, scale=scale, **settings)
    return f"{text_of(target, scale, rows, machine)}\n\nAll of it: {out}"
