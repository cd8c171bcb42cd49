"""The report: one HTML file with every table, figure, the data card and where each number comes from."""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from simmim.report.document import document, provenance_section, table_section
from simmim.report.names import shown_run
from simmim.report.own_tables import labels_words
from simmim.report.style import caption_of, width_px
from simmim.report.table import NOT_RUN, NOTHING, Table, read_parquet, scale_words
from simmim.storage.files import write_text

# Heading -> figures and tables under it; the paper's own tables, whose names are not listed here, come in second place.
_SECTIONS = (
    ("Do the paper's claims hold here?", (), ("claims",)),
    ("What pre-training learns", ("reconstructions", "losses"), ("pretraining",)),
    ("Does pre-training help?", ("scratch",), ("scratch",)),
    ("The same classifiers on further images", (), ("further",)),
    ("Masks", ("figure2", "figure3", "figure7"), ()),
    ("Beside the paper", (), ("directions",)),
    ("Features, block by block", ("probe_blocks",), ("probe",)),
    ("How far does colour alone get?", (), ("data",)),
)
_BESIDE_THE_PAPER = "Beside the paper"
_IMAGE_DENSITY = 1.45  # pixels of a figure per pixel of the page: the same size of letters in all of them


def write_page(out: Path, scale: str, tables: list[Path], figures: list[Path], data_card: Path | None = None) -> None:
    """Write the report to `out`.

    Args:
        tables: Parquet files as `write_table` makes them.
        figures: PNG files as `write_figure` makes them.
        data_card: JSON of made data, None where the data are somebody else's.
    """
    shown = {table.name: table for table in (read_parquet(Path(path)) for path in tables)}
    drawn = {Path(path).stem: Path(path) for path in figures}
    title = f"SimMIM, reproduced · {scale_words(scale)}"
    sections = [(heading, _section(heading, shown, drawn)) for heading, _, _ in _SECTIONS]
    card = _data_card(json.loads(Path(data_card).read_text(encoding="utf-8"))) if data_card else ""
    sections = [section for section in (*sections, ("The data", card)) if section[1]]
    body = [_opening(scale), _cards(shown), _navigation([heading for heading, _ in sections])]
    body += [f'<h2 id="{_id(heading)}">{html.escape(heading)}</h2>{content}' for heading, content in sections]
    body += [provenance_section(list(shown.values())), _commands(scale, Path(out))]
    write_text(out, document(title, "\n".join(body)))


def _opening(scale: str) -> str:
    return (
        f'<h1>SimMIM, reproduced</h1><p class="scale">{html.escape(scale_words(scale))}</p>'
        "<p>Random patches of an image are hidden, and an encoder with a one-layer head learns to predict their raw "
        "pixels; what it has learnt is then measured on classification, detection and segmentation "
        "(<cite>SimMIM: A Simple Framework for Masked Image Modeling</cite>, arXiv 2111.09886). "
        "What is called ours was measured by this pipeline; what is called the paper's is printed there.</p>"
    )


def _cards(shown: Mapping[str, Table]) -> str:
    """One run's numbers, large."""
    rows = [row for row in shown["pretraining"].rows if row["records"]] if "pretraining" in shown else []
    rows_beside_scratch = shown["scratch"].rows if "scratch" in shown else []
    compared = [
        row
        for row in rows_beside_scratch
        if row["records"] and NOT_RUN not in (row["pre-trained"], row["from scratch"])
    ]
    run = shown_run(row["run"] for row in rows + compared)
    mine = [row for row in rows if row["run"] == run]
    cards = [_loss_card(mine)] if mine else []
    cards += [_scratch_card(row) for row in compared if row["run"] == run]
    return f'<div class="cards">{"".join(cards)}</div>' if cards else ""


def _loss_card(rows: list[dict[str, Any]]) -> str:
    shares = sorted({row["share of baseline"] for row in rows})
    headline = shares[0] if len(shares) == 1 else f"{shares[0].removesuffix(' %')}–{shares[-1]}"
    words = (
        f"loss on hidden pixels of held-out images: {', '.join(row['held-out loss'] for row in rows)} "
        f"({_plural(len(rows), 'seed')}), against {rows[0]['mean colour']} for each image's visible mean colour"
    )
    learns = all(row["difference"].startswith("−") for row in rows)
    return _card("good" if learns else "bad", headline, "of the mean-colour loss", words)


def _scratch_card(row: Mapping[str, str]) -> str:
    verdict = row["beyond spread?"]
    tone = "good" if verdict == "yes, better" else "bad" if verdict == "yes, worse" else ""
    words = (
        f"{row['pre-trained']} pre-trained, {row['from scratch']} from scratch ({row['seeds']} seeds). "
        f"Beyond the seeds' spread? {verdict}"
    )
    headline = row["difference"] if row["difference"] != NOTHING else f"{row['pre-trained']} / {row['from scratch']}"
    return _card(tone, headline, f"{row['task']}, {row['measure']}", words)


def _plural(count: int, word: str) -> str:
    return f"{count} {word}" if count == 1 else f"{count} {word}s"


def _card(tone: str, headline: str, of: str, how: str) -> str:
    words = (html.escape(text) for text in (headline, of, how))
    return '<div class="card {}"><b>{}</b><div class="of">{}</div><div class="how">{}</div></div>'.format(tone, *words)


def _navigation(headings: Iterable[str]) -> str:
    links = [f'<a href="#{_id(heading)}">{html.escape(heading)}</a>' for heading in headings]
    return f'<nav>{"".join(links)}<a href="#provenance">Provenance</a></nav>'


def _section(heading: str, shown: Mapping[str, Table], drawn: Mapping[str, Path]) -> str:
    _, figures, tables = next(section for section in _SECTIONS if section[0] == heading)
    ours = {name for _, _, names in _SECTIONS for name in names}
    if heading == _BESIDE_THE_PAPER:
        tables = (*(name for name in shown if name not in ours), *tables)
    parts = [_figure(drawn[name]) for name in figures if name in drawn]
    return "".join(parts + [table_section(shown[name]) for name in tables if name in shown])


def _figure(path: Path) -> str:
    title, caption = caption_of(path)
    encoded = base64.b64encode(path.read_bytes()).decode()
    words = f"<strong>{html.escape(title)}.</strong> {html.escape(caption)}"
    width = round(width_px(path) / _IMAGE_DENSITY)
    size = f'width="{width}" style="--width: {width}px"'
    image = f'<img {size} alt="{html.escape(title)}" src="data:image/png;base64,{encoded}">'
    return f'<figure id="figure-{path.stem}"><div class="wide">{image}</div><figcaption>{words}</figcaption></figure>'


def _data_card(card: Mapping[str, Any]) -> str:
    sources = [
        f"{source['what']}, from {source['package']} {source['version']}: {source['terms']}."
        for source in card["sources"]
    ]
    counts = [
        f"{name}, {split}: {_counted(value)}"
        for name, splits in card["counts"].items()
        for split, value in splits.items()
    ]
    baselines = [
        f"{labels_words(labels)}: {'; '.join(f'{method} {value} %' for method, value in methods.items())}"
        for labels, methods in card["colour_baselines"].items()
    ]
    parts = {
        "Split": [f"{card['split']['rule']}."],
        "How many": counts,
        "What colour alone gets (top-1)": baselines,
        "Sources and their terms": sources,
        "Known weaknesses": card["weaknesses"],
    }
    return "".join(f"<h3>{html.escape(heading)}</h3>{_bullets(items)}" for heading, items in parts.items())


def _counted(value: Any) -> str:
    """Counts of any depth in words: 'images 100, objects (island 200, lake 150)'."""
    if not isinstance(value, Mapping):
        return f"{value:,}"
    inner = {
        name: f"({_counted(part)})" if isinstance(part, Mapping) else _counted(part) for name, part in value.items()
    }
    return ", ".join(f"{name.replace('_', ' ')} {words}" for name, words in inner.items())


def _bullets(items: Iterable[str]) -> str:
    return f"<ul>{''.join(f'<li>{html.escape(item)}</li>' for item in items)}</ul>"


def _commands(scale: str, out: Path) -> str:
    command = "snakemake --profile workflow/profiles/local"
    lines = f"{command} {out}\n{command} --forcerun FILE -- {out}   # measure one file of the list above again"
    return (
        f"<h3>Make it again</h3><pre>{html.escape(lines)}</pre>"
        f"<footer>Made from the cached results of scale '{html.escape(scale)}'.</footer>"
    )


def _id(heading: str) -> str:
    return "".join(character if character.isalnum() else "-" for character in heading.lower()).strip("-")
