"""The report: one HTML file with every table, figure, the data card and where each number comes from."""

from __future__ import annotations

import base64
import functools
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import jinja2

from simmim.report import provenance
from simmim.report.data_card import card_sections, read_card
from simmim.report.drawing import Drawing, read_drawing
from simmim.report.table import Table, scale_words
from simmim.report.table_file import read_parquet
from simmim.storage.files import write_text

# Sections in the order of the page; those that are not listed come behind them.
SECTIONS = (
    "The method in pictures",  # the four figures that the paper is known by
    "Do the paper's claims hold here?",
    "What pre-training learns",
    "What the models reconstruct",
    "Does pre-training help?",
    "The same classifiers on other images",
    "Masks",
    "Beside the paper",
    "Features, block by block",
    "How far does colour alone get?",
)


class Section(NamedTuple):
    """A heading with the figures and tables under it."""

    id: str
    heading: str
    figures: list[Drawing]
    tables: list[Table]


def write_page(
    out: Path, scale: str, tables: Iterable[Path], figures: Iterable[Path], card: Path | None = None
) -> None:
    """Write the report to `out`; it opens without a network.

    Args:
        tables: Parquet files as `write_table` makes them, in the order of the page within a section.
        figures: PNG files as `write_figure` makes them, in the same order.
        card: JSON data card of data that the package made, None where the data are somebody else's.
    """
    shown, drawn = [read_parquet(Path(path)) for path in tables], [read_drawing(Path(path)) for path in figures]
    text = _template("page.html").render(
        title=f"SimMIM, reproduced · {scale_words(scale)}",
        scale=scale,
        scale_words=scale_words(scale),
        headlines=[headline for table in _by_section(shown) for headline in table.headlines],
        sections=_sections(shown, drawn),
        card=card and card_sections(read_card(card)),
        out=out,
        **_sources(shown),
    )
    write_text(out, text)


def table_page(shown: Table) -> str:
    """One table as a page of its own."""
    return _template("table.html").render(title=shown.title, shown=shown, **_sources([shown]))


def _sections(tables: list[Table], figures: list[Drawing]) -> list[Section]:
    headings = dict.fromkeys(each.section for each in _by_section([*figures, *tables]))
    return [
        Section(
            _id(heading),
            heading,
            [figure for figure in figures if figure.section == heading],
            [table for table in tables if table.section == heading],
        )
        for heading in headings
    ]


def _by_section(shown: list[Any]) -> list[Any]:
    """Tables or figures in the order of their sections."""
    return sorted(shown, key=lambda each: SECTIONS.index(each.section) if each.section in SECTIONS else len(SECTIONS))


def _sources(tables: list[Table]) -> dict[str, Any]:
    lines = provenance.provenance(record for table in tables for record in table.records())
    return {"sources": lines, "source_columns": provenance.COLUMNS}


@functools.cache
def _template(name: str) -> jinja2.Template:
    loader = jinja2.PackageLoader("simmim.report")
    environment = jinja2.Environment(loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    environment.filters |= {"anchors": _anchors, "base64": lambda png: base64.b64encode(png).decode()}
    environment.filters |= {"first_sentence": _first_sentence}
    return environment.get_template(name)


def _anchors(records: list[dict[str, Any]]) -> dict[str, str]:
    """Shown column to the provenance line that its first record comes from."""
    return {record["column"]: provenance.anchor(record) for record in reversed(records)}


def _first_sentence(caption: str) -> tuple[str, str]:
    """The first sentence of a caption, and the others."""
    first, *rest = re.split(r"(?<=\.) (?=[A-Z'])", caption, maxsplit=1)
    return first, "".join(rest)


def _id(heading: str) -> str:
    return "".join(character if character.isalnum() else "-" for character in heading.lower()).strip("-")
