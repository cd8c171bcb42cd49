"""A table as it is shown and as it is kept: cells that people read, and the records behind each of them."""

from __future__ import annotations

import html
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from simmim.report.measurements import Measurement
from simmim.storage.files import whole_file

NOT_RUN = "not run"
NOTHING = "–"  # a cell that has no content by its nature; no cell is ever left blank

# One record behind a cell: `column` names the shown column that it stands in.
_RECORD = pa.struct(
    [(name, pa.string()) for name in ("column", "run", "evaluation", "metric", "detail")]
    + [("seed", pa.int64()), ("step", pa.int64()), ("value", pa.float64())]
    + [(name, pa.string()) for name in ("config_hash", "data_digest", "code_version", "source")]
)
_TYPED = pa.schema(
    [(name, pa.string()) for name in ("run", "evaluation", "metric")]
    + [(name, pa.float64()) for name in ("paper_value", "mean", "standard_deviation")]
    + [("records", pa.list_(_RECORD))]
)


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
    measured: Mapping[str, Measurement] = field(default_factory=dict)
    records: tuple[Mapping[str, Any], ...] = ()
    typed: Measurement | None = None

    def __post_init__(self) -> None:
        blank = [column for column, text in self.cells.items() if not text.strip()]
        assert not blank, f"blank cells {blank} in {dict(self.cells)}"

    def stored(self) -> dict[str, Any]:
        """The row of the Parquet file: shown cells, typed values, and every record behind them."""
        first = self.typed or next(iter(self.measured.values()), None)
        mean = first.mean if first and first.claims_mean else None
        deviation = first.deviation if first and first.claims_mean else None
        found = [
            row | {"column": column, "evaluation": row["task"]}
            for column, measurement in self.measured.items()
            for row in measurement.rows.to_dict("records")
        ]
        typed = {"run": self.run, "evaluation": self.evaluation, "metric": self.metric}
        typed |= {"paper_value": self.paper_value, "mean": mean, "standard_deviation": deviation}
        changed = [name for name in typed if self.cells.get(name, typed[name]) != typed[name]]
        assert not changed, f"the shown columns {changed} would be overwritten"
        return dict(self.cells) | typed | {"records": [_as_record(row) for row in (*found, *self.records)]}


@dataclass(frozen=True)
class Table:
    """A table with its title and what a reader must know to read it; `rows` are as `Line.stored` makes them."""

    name: str
    title: str
    caption: str
    scale: str
    columns: list[str]
    rows: list[dict[str, Any]]

    def records(self) -> Iterator[dict[str, Any]]:
        """Every record behind any cell."""
        return (record for row in self.rows for record in row["records"])


def table(name: str, title: str, caption: str, scale: str, lines: list[Line]) -> Table:
    """A table of lines that all show the same columns; its title carries the scale."""
    columns = list(lines[0].cells) if lines else []
    assert all(list(line.cells) == columns for line in lines), f"lines of table '{name}' show different columns"
    if not lines:
        columns, lines = ["status"], [Line({"status": "not run: this scale has no row for this table"})]
    return Table(name, f"{title} · {scale_words(scale)}", caption, scale, columns, [line.stored() for line in lines])


def scale_words(scale: str) -> str:
    """What every title says about its scale."""
    return "paper scale" if scale == "paper" else f"{scale} scale: not the paper's setting"


def write_parquet(shown: Table, path: Path) -> None:
    """Store a table with its title and caption in the header."""
    head = {"name": shown.name, "title": shown.title, "caption": shown.caption, "scale": shown.scale}
    head["columns"] = json.dumps(shown.columns)
    schema = pa.schema([(name, pa.string()) for name in shown.columns if name not in _TYPED.names] + list(_TYPED))
    stored = pa.Table.from_pylist(shown.rows, schema=schema.with_metadata(head))
    with whole_file(path) as temporary:
        pq.write_table(stored, temporary, write_page_checksum=True)


def read_parquet(path: Path) -> Table:
    """A table as `write_parquet` stored it."""
    stored = pq.read_table(path, page_checksum_verification=True, partitioning=None)
    head = {key.decode(): value.decode() for key, value in stored.schema.metadata.items()}
    words = {key: head[key] for key in ("name", "title", "caption", "scale")}
    return Table(**words, columns=json.loads(head["columns"]), rows=stored.to_pylist())


def markdown(shown: Table) -> str:
    """Title, caption, table, and the files its numbers come from."""
    head = [shown.columns, ["---"] * len(shown.columns)]
    body = [[row[column] for column in shown.columns] for row in shown.rows]
    parts = [f"# {shown.title}", shown.caption, "\n".join(_markdown_row(cells) for cells in head + body)]
    if sources := provenance(shown.records()):
        kept = ("source", "seeds", "steps", "config", "data", "code")
        lines = [_markdown_row(kept), _markdown_row(["---"] * len(kept))]
        lines += [_markdown_row([source[column] for column in kept]) for source in sources]
        parts += ["## Where the numbers come from", "\n".join(lines)]
    return "\n\n".join(parts) + "\n"


def html_table(shown: Table) -> str:
    """The bare `<table>`; each number links to the line of the provenance table that it comes from."""
    head = "".join(f'<th scope="col">{html.escape(column)}</th>' for column in shown.columns)
    body = []
    for row in shown.rows:
        links = {record["column"]: anchor(record) for record in reversed(row["records"])}
        cells = [_html_cell(column, row[column], links.get(column)) for column in shown.columns]
        body.append(f"<tr>{''.join(cells)}</tr>")
    return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(body)}</tbody></table>"


def provenance(found: Iterator[Mapping[str, Any]]) -> list[dict[str, str]]:
    """One line per result file: seeds, steps, hashes and digests of the records that were used from it."""
    files: dict[str, list[Mapping[str, Any]]] = {}
    for record in found:
        files.setdefault(record["source"], []).append(record)
    return [_source_line(source, rows) for source, rows in sorted(files.items())]


def anchor(record: Mapping[str, Any]) -> str:
    """Id of the provenance line of the file that a record comes from."""
    kept = "".join(character if character.isalnum() else "-" for character in record["source"])
    return f"from-{kept}"


def _source_line(source: str, rows: list[Mapping[str, Any]]) -> dict[str, str]:
    def distinct(key: str) -> str:
        values = sorted({row[key] for row in rows if row[key] is not None})
        return ", ".join(_short(str(value)) for value in values) or NOTHING

    line = {"source": source, "anchor": anchor(rows[0]), "run": distinct("run"), "evaluation": distinct("evaluation")}
    line |= {"seeds": distinct("seed"), "steps": distinct("step"), "config": distinct("config_hash")}
    return line | {"data": distinct("data_digest"), "code": distinct("code_version")}


def _short(text: str) -> str:
    """A long digest cut to what tells it apart; the Parquet file holds all of it."""
    return text if len(text) <= 40 else f"{text[:12]}…"


def _as_record(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: row.get(name) for name in (_RECORD.field(i).name for i in range(_RECORD.num_fields))}


def _markdown_row(cells: Any) -> str:
    return "| " + " | ".join(str(cell).replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"


def _html_cell(column: str, text: str, link: str | None) -> str:
    shown = html.escape(text)
    shown = f'<a href="#{link}">{shown}</a>' if link else shown
    return f'<td data-column="{html.escape(column)}"><span>{shown}</span></td>'
