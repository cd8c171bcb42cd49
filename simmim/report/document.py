"""HTML documents that need nothing but themselves: one inline style sheet, no script, no request."""

from __future__ import annotations

import html

from simmim.report.table import Table, html_table, provenance

_CSS = """
:root { color-scheme: light dark; --paper: #ffffff; --page: #f5f6f8; --ink: #1d2430; --muted: #5d6674;
  --line: #dfe3e8; --accent: #1f6fb2; --good: #17794f; --bad: #b3363b; --mark: #fff3c4; }
@media (prefers-color-scheme: dark) {
  :root { --paper: #1b2029; --page: #12161d; --ink: #e6e9ee; --muted: #9aa4b2;
    --line: #323945; --accent: #7cb8ec; --good: #63c99a; --bad: #f08a8d; --mark: #4a4220; }
}
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body { margin: 0; background: var(--page); color: var(--ink);
  font: 16px/1.55 system-ui, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }
main { max-width: 1120px; margin: 0 auto; padding: 2.5rem 1.5rem 4rem; }
h1 { font-size: clamp(1.7rem, 4.5vw, 2.6rem); line-height: 1.15; margin: 0 0 .6rem; letter-spacing: -.015em; }
h2 { font-size: 1.4rem; line-height: 1.25; margin: 3.2rem 0 .9rem; letter-spacing: -.01em; }
h3 { font-size: 1.02rem; line-height: 1.35; margin: 1.8rem 0 .4rem; }
p { margin: .5rem 0; max-width: 72ch; }
a { color: var(--accent); }
.scale { display: inline-block; margin: 0 0 1rem; padding: .2rem .75rem; border: 1px solid var(--accent);
  border-radius: 2rem; color: var(--accent); font-size: .85rem; font-weight: 600; }
.caption { color: var(--muted); font-size: .86rem; max-width: 84ch; }
nav { margin: 1.6rem 0 0; display: flex; flex-wrap: wrap; gap: .3rem 1.1rem; font-size: .9rem; }
.cards { display: grid; grid-template-columns: repeat(auto-fill, minmax(235px, 1fr)); gap: .9rem; margin: 1.8rem 0 0; }
.card { background: var(--paper); border: 1px solid var(--line); border-radius: .7rem; padding: 1rem 1.1rem; }
.card b { display: block; font-size: 1.75rem; line-height: 1.2; letter-spacing: -.02em; }
.card .of { font-size: .9rem; font-weight: 600; margin: .1rem 0 .3rem; }
.card .how { color: var(--muted); font-size: .82rem; line-height: 1.45; }
.good b { color: var(--good); }
.bad b { color: var(--bad); }
figure { margin: 1rem 0 0; background: #fff; border: 1px solid var(--line); border-radius: .7rem; overflow: hidden; }
figure .wide { overflow-x: auto; padding: .6rem; }
figure img { display: block; max-width: 100%; height: auto; margin: 0 auto; }
figcaption { padding: .7rem 1.1rem .9rem; background: var(--paper); border-top: 1px solid var(--line);
  color: var(--muted); font-size: .86rem; }
.table { overflow-x: auto; margin: .7rem 0; background: var(--paper); border: 1px solid var(--line);
  border-radius: .7rem; }
table { border-collapse: collapse; width: 100%; font-size: .84rem; line-height: 1.4;
  font-variant-numeric: tabular-nums; }
th { text-align: left; color: var(--muted); font-weight: 600; vertical-align: bottom; }
th, td { padding: .5rem .6rem; border-bottom: 1px solid var(--line); }
th:first-child, td:first-child { padding-left: 1rem; }
td { vertical-align: top; }
tbody tr:last-child td { border-bottom: 0; }
td a { text-decoration: none; white-space: nowrap; }
td[data-column="claim"] { min-width: 15rem; }
td a:hover { text-decoration: underline; }
tr:target td { background: var(--mark); }
summary { cursor: pointer; color: var(--accent); font-size: .9rem; margin: .7rem 0 0; }
code, pre { font: .84em/1.5 ui-monospace, "DejaVu Sans Mono", Menlo, monospace; }
pre { background: var(--paper); border: 1px solid var(--line); border-radius: .7rem; padding: .8rem 1rem;
  overflow-x: auto; }
ul { padding-left: 1.2rem; max-width: 80ch; }
li { margin: .25rem 0; }
.provenance table { font-size: .78rem; }
.provenance th, .provenance td { padding-left: .4rem; padding-right: .4rem; }
.provenance td:first-child { min-width: 13rem; overflow-wrap: anywhere; }
footer { margin-top: 3rem; color: var(--muted); font-size: .84rem; }
@media (max-width: 640px) {
  main { padding: 1.4rem .9rem 3rem; }
  h2 { margin-top: 2.4rem; }
  .cards { grid-template-columns: 1fr; gap: .6rem; }
  figure .wide { padding: .3rem; }
  figure img { max-width: none; width: max(100%, calc(.6 * var(--width))); }
  thead { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
  table, tbody, tr, td { display: block; width: 100%; }
  tr { padding: .55rem 0; border-bottom: 1px solid var(--line); }
  tbody tr:last-child { border-bottom: 0; }
  td, td:first-child { display: grid; grid-template-columns: 38% 1fr; gap: .6rem; padding: .14rem .9rem; border: 0;
    overflow-wrap: anywhere; }
  td::before { content: attr(data-column); color: var(--muted); }
  td:first-child { font-weight: 600; }
  td a { white-space: normal; }
  .provenance td:first-child, td[data-column="claim"] { min-width: 0; }
}
@media print { body { background: #fff; } figure, .card, .table { break-inside: avoid; } }
"""
_LONG_TABLE = 24  # rows; longer tables are folded


def document(title: str, body: str) -> str:
    """A whole page round a body."""
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{html.escape(title)}</title><style>{_CSS}</style></head>\n"
        f"<body><main>\n{body}\n</main></body></html>\n"
    )


def table_section(shown: Table) -> str:
    """Title, table and caption; a long table is folded."""
    table = f'<div class="table">{html_table(shown)}</div>'
    if len(shown.rows) > _LONG_TABLE:
        table = f"<details><summary>Show all {len(shown.rows)} rows</summary>{table}</details>"
    heading = f'<h3 id="table-{shown.name}">{html.escape(shown.title)}</h3>'
    return f'{heading}{table}<p class="caption">{html.escape(shown.caption)}</p>'


def provenance_section(tables: list[Table]) -> str:
    """One line per result file behind any number of these tables; the links of the numbers end here."""
    lines = provenance(record for shown in tables for record in shown.records())
    if not lines:
        return ""
    columns = {"source": "file", "run": "run", "evaluation": "task"} | {
        name: name for name in ("seeds", "steps", "config", "data", "code")
    }
    head = "".join(f'<th scope="col">{words}</th>' for words in columns.values())
    body = "".join(
        f'<tr id="{line["anchor"]}">'
        + "".join(
            f'<td data-column="{words}"><span>{html.escape(line[key])}</span></td>' for key, words in columns.items()
        )
        + "</tr>"
        for line in lines
    )
    return (
        '<h2 id="provenance">Where every number comes from</h2>'
        "<p>Each number in a table links to the result file that holds it. Config: hash of the completed config. Data: "
        "digest of the packed data set. Code: commit, and digest of the package's source. Every single record (run, "
        "seed, step, value) behind a cell is in the column <code>records</code> of the table's Parquet file.</p>"
        f'<div class="table provenance"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'
    )
