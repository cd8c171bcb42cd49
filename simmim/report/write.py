"""Writes one table as Parquet, Markdown and HTML, or one figure as a PNG that carries its title and caption."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from simmim.report import catalogue
from simmim.report.drawing import save
from simmim.report.page import table_page
from simmim.report.results import Results
from simmim.report.scale_facts import ScaleFacts
from simmim.report.status import NothingToDraw
from simmim.report.table import Table, as_table, with_scale
from simmim.report.table_file import markdown, write_parquet
from simmim.storage.files import write_text


def write_table(name: str, inputs: Iterable[Path], out: Path, facts: ScaleFacts) -> None:
    """Make a table and write `out`.parquet, `out`.md and `out`.html.

    Args:
        inputs: the result files that `catalogue.table_needs` lists.
        out: path of the three files without their endings.

    Raises:
        ValueError: for an unknown table, or inputs of another scale.
    """
    shown, out = make_table(name, inputs, facts), Path(out)
    write_parquet(shown, out.with_name(f"{out.name}.parquet"))
    write_text(out.with_name(f"{out.name}.md"), markdown(shown))
    write_text(out.with_name(f"{out.name}.html"), table_page(shown))


def make_table(name: str, inputs: Iterable[Path], facts: ScaleFacts) -> Table:
    """The table as a value; arguments as `write_table`."""
    kind = catalogue.table(name, facts)
    body = kind.make(Results(inputs, facts), facts)
    return as_table(name, kind.title, kind.section, facts.scale, body)


def write_figure(name: str, inputs: Iterable[Path], out: Path, facts: ScaleFacts) -> None:
    """Draw a figure and write `out`.png; where nothing of it was measured, the picture says so.

    Args:
        inputs: the result files that `catalogue.figure_needs` lists.
        out: path of the file without its ending.

    Raises:
        ValueError: for an unknown figure, a figure that a scale has nothing to draw for, or inputs of another scale.
    """
    from simmim.report.style import look, not_run  # seaborn and scipy, a second that tables need not wait for

    kind, inputs, out = catalogue.figure(name), list(inputs), Path(out)
    if not inputs:
        raise ValueError(f"scale '{facts.scale}' has no results that figure '{name}' could be drawn from")
    with look():
        try:
            drawn, caption = kind.make(Results(inputs, facts), facts)
        except NothingToDraw as reason:
            drawn = not_run()
            caption = f"{reason} at scale '{facts.scale}', so there is nothing to draw. {kind.description}"
        words = (with_scale(kind.title, facts.scale), kind.section, kind.description, facts.setting_words() + caption)
        save(drawn, out.with_name(f"{out.name}.png"), *words)
