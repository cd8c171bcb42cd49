"""Do the numbers of a scale lie where other machines have put them? Rounding differs by CPU, and training amplifies it.

`results/{scale}_numbers.parquet` has a row per number, machine and setting of it; benchmarks/machines.py measures them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import pyarrow as pa

from simmim.report.measurements import Measurement, decimals_of, measurement, metric_label, number
from simmim.report.scale_facts import ResultFile, ScaleFacts
from simmim.report.statistics import range_of_another
from simmim.storage.parquet import read_sealed, write_sealed

if TYPE_CHECKING:
    from simmim.report.results import Results

SETTING = ["machine", "torch", "capability", "precision", "threads"]
NUMBER = ["run", "evaluation", "dataset", "metric"]
SCHEMA = pa.schema(
    [(name, pa.int64() if name == "threads" else pa.string()) for name in SETTING]
    + [(name, pa.string()) for name in NUMBER]
    + [("value", pa.float64()), ("config_hash", pa.string()), ("code_version", pa.string())]
)


def needs(facts: ScaleFacts) -> list[ResultFile]:
    """The records of every evaluation of a scale, and of every pre-training with a reconstruction loss."""
    return [*(ResultFile("pretrain", run) for run in facts.loss_areas), *facts.evaluations()]


def numbers(results: Results, facts: ScaleFacts) -> pd.DataFrame:
    """What tables compare: every score that is a headline's, and the validation losses of pre-training.

    Returns:
        A row per number: `NUMBER`, its mean over pre-trainings in `value`, `config_hash` and `code_version`.
    """
    keys = [(run, "pretrain", "validation_loss") for run in facts.loss_areas]
    keys += [(*each, metric) for each in facts.evaluated for metric in facts.headline_metrics]
    frames = [results.records, *(rows for _, rows in results.extra_records.groupby("dataset"))]
    found = [measurement(frame, *key) for frame in frames for key in keys]
    return pd.DataFrame([_row(each) for each in found if each], columns=SCHEMA.names[len(SETTING) :])


def _row(found: Measurement) -> dict[str, str | float]:
    """One number; seeds of an evaluation share config and code but where a table would say that they are mixed."""
    first = found.rows.iloc[0]
    return {name: first[name] for name in (*NUMBER, "config_hash", "code_version")} | {"value": found.mean}


def read(file: Path) -> pd.DataFrame:
    """Numbers of machines; none where there is no file yet.

    Raises:
        ValueError: for a damaged file, or one of other columns.
    """
    if not file.exists():
        return SCHEMA.empty_table().to_pandas()
    table = read_sealed(file)
    if not table.schema.equals(SCHEMA):
        raise ValueError(f"{file} holds no numbers of machines: its columns are {table.schema.names}")
    return table.to_pandas()


def add(file: Path, measured: pd.DataFrame) -> None:
    """Put numbers of machines into a file, in the place of those that it has of the same settings."""
    known = read(file)
    settings = measured[SETTING].drop_duplicates()
    kept = known[known.merge(settings, how="left", indicator=True)["_merge"].to_numpy() == "left_only"]
    rows = pd.concat([kept, measured]).sort_values([*SETTING, *NUMBER])
    write_sealed(file, pa.Table.from_pandas(rows[SCHEMA.names], SCHEMA, preserve_index=False).replace_schema_metadata())


def ranges(known: pd.DataFrame) -> pd.DataFrame:
    """Where another setting puts each number of each config.

    Returns:
        `low` and `high`, between which it lies in 95 cases of 100 (nan where one setting gave it or all gave the same,
        and none is below 0, as no score or loss here is); `least` and `most` that were measured, and the `settings`
        that gave it.
    """
    grouped = known.groupby([*NUMBER, "config_hash"])["value"]
    found = grouped.agg(least="min", most="max", settings="size", expected=_range_of_another)
    sides = [each or (math.nan, math.nan) for each in found.pop("expected")]
    return found.assign(low=[max(low, 0.0) for low, _ in sides], high=[high for _, high in sides]).reset_index()


def _range_of_another(values: pd.Series) -> tuple[float, float] | None:
    """None for equal values, too: a range without width would have every rounding of another CPU outside."""
    return range_of_another([*values]) if values.nunique() > 1 else None


def compared(mine: pd.DataFrame, known: pd.DataFrame, facts: ScaleFacts) -> Iterator[str]:
    """Whether the numbers of a run lie where machines with the same configs put them, in lines for a reader.

    They are compared as they are printed: with the decimals of their metric.
    """
    both = mine.merge(ranges(known), how="left", on=[*NUMBER, "config_hash"])
    has_range, is_same = both["low"].notna(), (both["settings"] > 1) & (both["least"] == both["most"])
    if not (has_range | is_same).any():
        yield f"None of the {len(both)} numbers was measured elsewhere in two settings or more with the same configs."
        return
    if has_range.any():
        yield from _held_against(both[has_range], known, facts)
    if is_same.any():
        same = "; ".join(_same(row, facts) for _, row in both[is_same].iterrows())
        yield f"The same in all settings elsewhere, so that there is no range: {same}."
    if (new := ~(has_range | is_same)).any():
        names = "; ".join(_name(row, facts) for _, row in both[new].iterrows())
        yield f"Not measured elsewhere in two settings: {names}."


def _held_against(both: pd.DataFrame, known: pd.DataFrame, facts: ScaleFacts) -> Iterator[str]:
    """How many numbers lie in their ranges, and which do not."""
    used = known[known["config_hash"].isin(both["config_hash"])]
    machines, settings = used["machine"].nunique(), len(used[SETTING].drop_duplicates())
    gave = f"what {_count(machines, 'machine')} gave in {_count(settings, 'setting')}"
    outside = [row for _, row in both.iterrows() if not lies_within(row)]
    if outside:
        lie = "lies" if len(outside) == 1 else "lie"
        yield f"{len(outside)} of {_count(len(both), 'number')} {lie} outside the 95 % ranges of {gave}:"
    else:
        yield f"All {_count(len(both), 'number')} lie within the 95 % ranges of {gave}."
    yield from (f"  {_name(row, facts)} {_text(row, 'value')} ({_range(row)})" for row in outside)


def lies_within(row: pd.Series) -> bool:
    """Whether the `value` of a number, as it is printed, lies in its range."""
    value, low, high = (round(row[name], decimals_of(row["metric"])) for name in ("value", "low", "high"))
    return low <= value <= high


def _same(row: pd.Series, facts: ScaleFacts) -> str:
    there, here = _text(row, "least"), _text(row, "value")
    return f"{_name(row, facts)} {there}" + (f" (here {here})" if here != there else "")


def _name(row: pd.Series, facts: ScaleFacts) -> str:
    """`SimMIM default: fine-tuning on climate, top-1 (%)`, with the data set where it is an extra one."""
    on = f" on {facts.dataset_labels.get(row['dataset'], row['dataset'])}" if row["dataset"] in facts.extra_sets else ""
    what = f"{facts.evaluation_label(row['evaluation'])}{on}, {metric_label(row['metric'])}"
    return f"{facts.run_label(row['run'])}: {what}"


def _range(row: pd.Series) -> str:
    return f"range {_text(row, 'low')} to {_text(row, 'high')}"


def _text(row: pd.Series, column: str) -> str:
    return number(row[column], decimals_of(row["metric"]))


def _count(n: int, what: str) -> str:
    return f"{n} {what}" if n == 1 else f"{n} {what}s"
