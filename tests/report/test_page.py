"""The page: one file, no request, links that arrive."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest
from made_up import FACTS, SCALE

from simmim.report.page import write_page
from simmim.report.write import write_figure, write_table

TABLES = {
    "table1": "finetune",
    "table4": "finetune",
    "data": "data_card finetune",
    "directions": "finetune",
    "pretraining": "pretrain",
    "probe": "probe",
    "scratch": "finetune probe detect",
}
PICTURED = ("figure1", "figure4", "figure5", "figure6", "reconstructions")
FIGURES = dict.fromkeys(PICTURED, "reconstruction")
FIGURES |= {"figure2": "mask_samples", "figure3": "avg_dist finetune", "figure7": "avg_dist finetune detect"}
FIGURES |= {"losses": "pretrain", "scratch": "finetune probe detect"}


class _Reader(HTMLParser):
    """Collects what a browser would fetch, ids, links, and whether the tags match."""

    def __init__(self):
        super().__init__()
        self.fetched, self.ids, self.links, self.open = [], set(), set(), []

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        self.ids |= {values["id"]} if "id" in values else set()
        self.links |= {values["href"]} if tag == "a" else set()
        self.fetched += [values[key] for key in ("src", "srcset", "data", "poster") if key in values]
        self.fetched += [values["href"]] if tag == "link" else []
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def page(results, tmp_path_factory):
    folder = tmp_path_factory.mktemp("page")
    for name, kinds in TABLES.items():
        inputs = [path for kind in kinds.split() for path in results[kind]]
        write_table(name, inputs, folder / "tables" / name, FACTS)
    for name, kinds in FIGURES.items():
        inputs = [path for kind in kinds.split() for path in results[kind]]
        write_figure(name, inputs, folder / name, FACTS)
    tables = [folder / "tables" / f"{name}.parquet" for name in TABLES]
    write_page(
        folder / "report.html", SCALE, tables, [folder / f"{name}.png" for name in FIGURES], results["data_card"][0]
    )
    text = (folder / "report.html").read_text(encoding="utf-8")
    reader = _Reader()
    reader.feed(text)
    return text, reader


def test_nothing_is_fetched(page):
    text, reader = page
    assert len(reader.fetched) == len(FIGURES)
    assert all(source.startswith("data:image/png;base64,") for source in reader.fetched)
    for tag, ways in (("style", ("url(", "@import")), ("script", ("fetch(", "import", "XMLHttp", "http"))):
        (content,) = re.findall(f"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
        assert not [way for way in ways if way in content]


def test_tags_match_and_every_link_arrives(page):
    text, reader = page
    assert reader.open == []
    assert {link for link in reader.links if link.startswith("#from-")}
    assert {link.removeprefix("#") for link in reader.links} <= reader.ids
    assert len(re.findall(r'id="', text)) == len(reader.ids), "an id comes twice"


def test_scale_headlines_tables_and_data_card_are_there(page):
    text, _ = page
    assert "<title>SimMIM, reproduced · made-up scale: not the paper&#39;s setting</title>" in text
    cards = re.findall('<li class="card (good|bad|)">(.*?)</li>', text, re.DOTALL)
    assert len(cards) == 4 and [words for _, words in cards if "60.0 ± 1.0" in words and "scratch 50.0" in words]
    for words in ("Table 4: scope of the loss", "contradicts the paper", "does not fit this scale", "not run"):
        assert words in text
    for words in ("Made up &lt;by hand&gt;.", "No licence", "colour histogram 33.3 %", "config-default-finetune"):
        assert words in text


def test_it_adapts_to_dark_and_narrow_screens(page):
    text, _ = page
    assert "prefers-color-scheme: dark" in text
    assert "max-width: 640px" in text
    assert 'name="viewport"' in text
