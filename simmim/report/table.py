"""A table as it is shown and as it is kept: cells that people read, and the records behind each of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, NamedTuple

from simmim.report.status import NOTHING

if TYPE_CHECKING:
    from simmim.report.measurements import Measurement

LONGEST, SHORT = 24, 8  # rows that a page shows at once at most, and always
TEXTS = ("run", "evaluation", "metric")
NUMBERS = ("paper_value", "mean", "standard_deviation")
_RECORD_TEXTS = ("column", "run", "evaluation", "dataset", "part", "metric")
_ORIGIN = ("config_hash", "data_digest", "encoder_digest", "code_version", "source")
# The keys of one record behind a cell, by type; `column` names the shown column that it stands in.
RECORD = dict.fromkeys(_RECORD_TEXTS, str) | {"seed": int, "step": int, "value": float}
RECORD |= dict.fromkeys(_ORIGIN, str)


@dataclass(frozen=True)
class Line:
    """One row of a table.

    Args:
        cells: shown column to text.
        run, evaluation, metric: what was looked for, also where nothing was found.
        measured: shown column to the measurement that its text stands on.
        records: records behind a text that no measurement holds.
        typed: the measurement whose mean is stored as a number, by default the first of `measured`.
    """

    cells: Mapping[str, str]
    run: str = ""
    evaluation: str = ""
    metric: str = ""
    paper_value: float | None = None
    measured: Mapping[str, Measurement | None] = field(default_factory=dict)
    records: tuple[Mapping[str, Any], ...] = ()
    typed: Measurement | None = None

    def __post_init__(self) -> None:
        blank = [column for column, text in self.cells.items() if not text.strip()]
        assert not blank, f"blank cells {blank} in {dict(self.cells)}"

    def stored(self) -> dict[str, Any]:
        """The row of the Parquet file: shown cells, typed values, and every record behind them."""
        behind = {column: measurement for column, measurement in self.measured.items() if measurement}
        records = [record for column, each in behind.items() for record in records_of(each, column)]
        typed = self._typed(self.typed or next(iter(behind.values()), None))
        changed = [name for name in typed if self.cells.get(name, typed[name]) != typed[name]]
        assert not changed, f"the shown columns {changed} would be overwritten"
        return {**self.cells, **typed, "records": [*records, *map(_as_record, self.records)]}

    def _typed(self, first: Measurement | None) -> dict[str, Any]:
        claims = first is not None and first.claims_mean
        values = {"paper_value": self.paper_value, "mean": first.mean if claims else None}
        values["standard_deviation"] = first.deviation if claims else None
        return {name: getattr(self, name) for name in TEXTS} | values


class Headline(NamedTuple):
    """A number for the top of the page.

    Args:
        tone: 'good', 'bad' or '' where neither can be said.
        of: what the number is measured by.
        number: what is printed large.
        baseline: what it is to be compared with.
        verdict: whether it is better, in a few words.
    """

    tone: str
    of: str
    number: str
    baseline: str
    verdict: str


class Body(NamedTuple):
    """What a table's `make` returns."""

    caption: str
    lines: list[Line]
    headlines: tuple[Headline, ...] = ()


@dataclass(frozen=True)
class Table:
    """A table with its title and what a reader must know to read it; `rows` are as `Line.stored` makes them."""

    name: str
    title: str
    section: str
    caption: str
    scale: str
    columns: list[str]
    rows: list[dict[str, Any]]
    headlines: tuple[Headline, ...] = ()

    def folded(self) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """Rows to show at once and rows to fold: those that nothing was measured for, or of a long table all."""
        if len(self.rows) <= SHORT:
            return self.rows, []
        parts: dict[bool, list[dict[str, Any]]] = {True: [], False: []}
        for row in self.rows:
            parts[row["status"].startswith("measured")].append(row)
        return (parts[True], parts[False]) if len(parts[True]) <= LONGEST else ([], self.rows)

    def shown_columns(self) -> list[str]:
        """Columns of a page that names the scale elsewhere: without it, and without what says nothing of any row."""
        silent = {NOTHING, f"measured at {self.scale} scale"}
        return [name for name in self.columns if name != "scale" and not {row[name] for row in self.rows} <= silent]

    def records(self) -> Iterator[dict[str, Any]]:
        """Every record behind any cell."""
        return (record for row in self.rows for record in row["records"])

    def head(self) -> dict[str, Any]:
        """Everything but the rows."""
        return {each.name: getattr(self, each.name) for each in fields(self) if each.name != "rows"}


def as_table(name: str, title: str, section: str, scale: str, body: Body) -> Table:
    """A table of lines that all show the same columns; its title carries the scale."""
    lines = body.lines or [Line({"status": "not run: this scale has no row for this table"})]
    columns = list(lines[0].cells)
    assert all(list(line.cells) == columns for line in lines), f"lines of table '{name}' show different columns"
    rows = [line.stored() for line in lines]
    return Table(name, with_scale(title, scale), section, body.caption, scale, columns, rows, body.headlines)


def with_scale(title: str, scale: str) -> str:
    """A title that carries its scale."""
    return f"{title} · {scale} scale"


def scale_words(scale: str) -> str:
    """What a page says about its scale."""
    return "paper scale" if scale == "paper" else f"{scale} scale: not the paper's setting"


def records_of(measurement: Measurement, column: str) -> list[dict[str, Any]]:
    """The records of a measurement that stands in a shown column."""
    return [_as_record(row | {"column": column}) for row in measurement.rows.to_dict("records")]


def _as_record(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: row.get(name) for name in RECORD}
