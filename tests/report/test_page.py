"""The page: one file, no request, links that arrive."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest


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
def page(report):
    text = report.read_text(encoding="utf-8")
    reader = _Reader()
    reader.feed(text)
    return text, reader


def test_nothing_is_fetched(page):
    text, reader = page
    assert len(reader.fetched) == 12
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
