"""Which tables and figures a scale has and which result files each needs, without reading any of them.

A table or a figure of our own is one file of `report/tables` or `report/figures`; a table of the paper is rows of
paper.tsv, with its title in tables.tsv. The Snakefile asks this module, so it imports only what reading configs needs.
"""

from __future__ import annotations

import functools
import importlib
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Protocol

from simmim import NUMERICS, plugin
from simmim.report.facts import facts, reference_run
from simmim.report.scale_facts import ResultFile, ScaleFacts
from simmim.report.tables._paper import PaperTable
from simmim.storage.identity import config_hash

if TYPE_CHECKING:
    from simmim.config.sheets import Sheets
    from simmim.report.results import Results

__all__ = [
    "ResultFile",
    "ScaleFacts",
    "content_hash",
    "facts",
    "figure",
    "figure_description",
    "figure_needs",
    "figures",
    "has_data_card",
    "reference_run",
    "shown_tables",
    "table",
    "table_needs",
    "tables",
]


class TableKind(Protocol):
    """What a file of `report/tables` defines.

    Args:
        section: heading of the page that it stands under; one that no other file names makes a section of its own.
    """

    title: str
    section: str

    def needs(self, facts: ScaleFacts) -> list[ResultFile]:
        """The result files that it is made from; none where the scale has nothing to show."""

    def make(self, results: Results, facts: ScaleFacts) -> Any:
        """A `table.Body`: caption, lines and, if it has any, headlines for the top of the page."""


class FigureKind(Protocol):
    """What a file of `report/figures` defines; title, section and needs as those of a table.

    Args:
        description: one sentence for Snakemake's own report.
    """

    title: str
    section: str
    description: str

    def needs(self, facts: ScaleFacts) -> list[ResultFile]:
        """The result files that it is drawn from; none where the scale has nothing to draw."""

    def make(self, results: Results, facts: ScaleFacts) -> Any:
        """The Matplotlib figure and its caption."""


def tables(sheets: Sheets, scale: str) -> list[str]:
    """Names of every table of a scale: the paper's in the order of paper.tsv, then our own of which it has anything."""
    return _paper_tables(facts(sheets, scale)) + [name for name in _own_tables() if table_needs(name, sheets, scale)]


def shown_tables(sheets: Sheets, scale: str) -> list[str]:
    """Tables that the report page of a scale shows: those of which it runs anything."""
    return [name for name in tables(sheets, scale) if table_needs(name, sheets, scale)]


def figures(sheets: Sheets, scale: str) -> list[str]:
    """Names of every figure that a scale has anything to draw for."""
    return [name for name in _figure_files() if figure_needs(name, sheets, scale)]


@functools.cache
def table_needs(name: str, sheets: Sheets, scale: str) -> list[ResultFile]:
    """Result files that a table is made from, none if the scale has none of them.

    Raises:
        ValueError: for an unknown table, with the nearest known one.
    """
    known = facts(sheets, scale)
    return _each_once(table(name, known).needs(known))


@functools.cache
def figure_needs(name: str, sheets: Sheets, scale: str) -> list[ResultFile]:
    """Result files that a figure is drawn from, none if the scale has none of them; raises as `table_needs`."""
    return _each_once(figure(name).needs(facts(sheets, scale)))


def figure_description(name: str) -> str:
    """One sentence about a figure."""
    return figure(name).description


def has_data_card(sheets: Sheets, scale: str) -> bool:
    """Whether the data of this scale are made by the package itself, which then writes a data card."""
    return facts(sheets, scale).has_data_card


@functools.cache
def content_hash(sheets: Sheets, scale: str) -> str:
    """Changes with published numbers, with rows that do not fit, and with the report's own code."""
    return config_hash({"facts": str(facts(sheets, scale)), "numerics": NUMERICS["report"]})


def table(name: str, known: ScaleFacts) -> TableKind:
    """What makes a table; raises as `table_needs`."""
    own, papers = _own_tables(), _paper_tables(known)
    if both := {*own} & {*papers}:
        raise ValueError(f"paper.tsv has a table '{min(both)}', as report/tables has: give one of them another name")
    plugin.check_choice("table", name, [*own, *papers])
    return PaperTable(name, known) if name in papers else importlib.import_module(f"simmim.report.tables.{name}")


def figure(name: str) -> FigureKind:
    """What draws a figure; raises as `table_needs`."""
    plugin.check_choice("figure", name, _figure_files())
    return importlib.import_module(f"simmim.report.figures.{name}")


def _own_tables() -> list[str]:
    return plugin.names("report.tables")


def _figure_files() -> list[str]:
    """Names of every figure: 'figure2' before 'figure10'."""
    return sorted(
        plugin.names("report.figures"), key=lambda name: [int(n) for n in re.findall(r"\d+", name)] or [10**9]
    )


def _paper_tables(known: ScaleFacts) -> list[str]:
    return list(dict.fromkeys(name for name, _, _ in known.paper))


def _each_once(needs: Iterable[ResultFile]) -> list[ResultFile]:
    return list(dict.fromkeys(needs))
