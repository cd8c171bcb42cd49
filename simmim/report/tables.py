"""Writes one table as Parquet, Markdown and HTML."""

from __future__ import annotations

import json
from pathlib import Path

from simmim.report import own_tables, paper_tables
from simmim.report.claims import claims
from simmim.report.document import document, provenance_section, table_section
from simmim.report.further_sets import further
from simmim.report.measurements import read
from simmim.report.names import Facts
from simmim.report.paper_tables import Paper
from simmim.report.table import Table, markdown, write_parquet
from simmim.storage.files import write_text


def write_table(name: str, inputs: list[Path], out: Path, scale: str, paper: Paper, facts: Facts) -> None:
    """Make a table and write `out`.parquet, `out`.md and `out`.html.

    Args:
        inputs: the result files that `names.table_needs` lists; those of records are Parquet, the data card is JSON.
        out: path of the three files without their endings.
        paper: rows of paper.tsv by (table, row, column).

    Raises:
        ValueError: for an unknown table, or inputs of another scale.
    """
    shown = make_table(name, [Path(path) for path in inputs], scale, paper, facts)
    out = Path(out)
    write_parquet(shown, out.with_name(f"{out.name}.parquet"))
    write_text(out.with_name(f"{out.name}.md"), markdown(shown))
    write_text(
        out.with_name(f"{out.name}.html"), document(shown.title, table_section(shown) + provenance_section([shown]))
    )


def make_table(name: str, inputs: list[Path], scale: str, paper: Paper, facts: Facts) -> Table:
    """The table as a value; arguments as `write_table`."""
    frame = read([path for path in inputs if path.suffix == ".parquet"], scale)
    if name in {table for table, _, _ in paper}:
        return paper_tables.paper_table(name, frame, scale, paper, facts)
    if name == "directions":
        return paper_tables.directions(frame, scale, paper, facts)
    if name == "data":
        card = next(path for path in inputs if path.suffix == ".json")
        return own_tables.data(frame, scale, json.loads(card.read_text(encoding="utf-8")), str(card), facts)
    own = {
        "claims": claims,
        "scratch": own_tables.scratch,
        "pretraining": own_tables.pretraining,
        "probe": own_tables.probe,
        "further": further,
    }
    if name not in own:
        raise ValueError(
            f"unknown table '{name}' (allowed: {', '.join([*own, 'directions', 'data'])}, or one of paper.tsv)"
        )
    return own[name](frame, scale, facts)
