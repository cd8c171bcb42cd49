"""The page in a browser: no error, no sideways scrolling on a phone, tables sorted by keyboard, pictures with words."""

from __future__ import annotations

import itertools
import shutil

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
WITHOUT = "a browser: apt-get install chromium, pip install -e '.[browser]'"
if CHROMIUM:
    sync_api = pytest.importorskip("playwright.sync_api", reason=WITHOUT)
else:
    pytest.skip(WITHOUT, allow_module_level=True)

PHONE, DESK = 360, 1280
# What reaches beyond the window, but for wide figures, which scroll by themselves.
TOO_WIDE = """() => [...document.querySelectorAll("main *")]
  .filter((each) => !each.closest(".wide, .unseen") && each.getBoundingClientRect().right > innerWidth + 1)
  .map((each) => each.outerHTML.slice(0, 80))"""
# Text whose contrast to what is behind it is less than 4.5 to 1 (WCAG 2, AA).
PALE = """() => {
  const channels = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const luminance = (colour) => channels(colour).slice(0, 3).map((c) => c / 255)
    .map((c) => (c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4))
    .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = (each) => {
    for (; each; each = each.parentElement) {
      const colour = getComputedStyle(each).backgroundColor;
      if (channels(colour)[3] !== 0) return colour;
    }
    return "rgb(255, 255, 255)";
  };
  const found = new Set();
  for (const each of document.querySelectorAll("main *")) {
    if (![...each.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim())) continue;
    const [one, other] = [getComputedStyle(each).color, behind(each)];
    const [dark, light] = [luminance(one), luminance(other)].sort((a, b) => a - b);
    if ((light + 0.05) / (dark + 0.05) < 4.5) found.add(`${each.tagName} ${each.className} ${one} on ${other}`);
  }
  return [...found];
}"""


@pytest.fixture(scope="module")
def browser():
    with sync_api.sync_playwright() as play:
        running = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield running
        running.close()


@pytest.fixture
def opened(browser, report):
    """Opens the page at a width, in light or dark; fails for whatever the browser complains of or fetches."""
    troubles, pages = [], []

    def open_page(width: int, colours: str = "light"):
        page = browser.new_page(viewport={"width": width, "height": 800}, color_scheme=colours)
        pages.append(page)
        page.on("console", lambda message: troubles.append(message.text))
        page.on("pageerror", lambda error: troubles.append(str(error)))
        page.on("request", lambda request: troubles.append(request.url) if request.url.startswith("http") else None)
        page.goto(report.as_uri())
        return page

    yield open_page
    for page in pages:
        page.close()
    assert troubles == []


@pytest.mark.parametrize("colours", ["light", "dark"])
def test_a_phone_shows_all_of_it_without_sideways_scrolling_and_in_readable_colours(opened, colours):
    page = opened(PHONE, colours)
    page.evaluate("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE
    assert page.evaluate(TOO_WIDE) == []
    assert page.evaluate(PALE) == []


def test_pictures_are_loaded_and_described_and_headings_are_in_order(opened):
    page = opened(DESK)
    pictures = page.evaluate("[...document.images].map((each) => [each.complete && each.naturalWidth, each.alt])")
    assert len(pictures) == 12 and all(width > 300 and len(words) > 20 for width, words in pictures)
    levels = page.evaluate("[...document.querySelectorAll('h1, h2, h3, h4')].map((each) => Number(each.tagName[1]))")
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(later - before <= 1 for before, later in itertools.pairwise(levels))
    known = page.evaluate("[...document.querySelectorAll('h2')][0].textContent")
    first = page.evaluate(
        "[...document.querySelectorAll('figure')].slice(0, 4).map((each) => each.previousElementSibling.id)"
    )
    assert known == "The method in pictures"
    assert first == ["figure-figure1", "figure-figure4", "figure-figure5", "figure-figure6"]


def test_a_table_is_sorted_by_keyboard_and_says_so(opened):
    page = opened(DESK)
    table = page.locator("table", has=page.locator("caption", has_text="Linear probe of every block")).first
    heading = table.get_by_role("columnheader", name="top-1 (%)")
    number = "parseFloat(row.querySelector('[data-column^=top]').textContent)"
    shown = f"(table) => [...table.tBodies[0].rows].map((row) => {number})"
    before = table.evaluate(shown)
    heading.get_by_role("button").focus()
    page.keyboard.press("Enter")
    assert table.evaluate(shown) == sorted(before) != before and heading.get_attribute("aria-sort") == "ascending"
    page.keyboard.press("Space")
    assert table.evaluate(shown) == sorted(before, reverse=True) and heading.get_attribute("aria-sort") == "descending"
    assert heading.evaluate("(each) => getComputedStyle(each.querySelector('button')).outlineStyle") != "none"


def test_what_has_no_number_stays_below_whichever_way_it_is_sorted(opened):
    page = opened(DESK)
    table = page.locator("table", has=page.locator("caption", has_text="table1")).first
    button = table.get_by_role("columnheader", name="ours").get_by_role("button")
    for _ in range(2):
        button.press("Enter")
        words = table.evaluate("(table) => [...table.tBodies[0].rows].map((row) => row.cells[1].textContent)")
        assert words[0].strip() == "60.0 ± 1.0" and "not run" in words[-1]


def test_a_p_below_the_smallest_that_is_printed_is_sorted_as_the_smallest(opened):
    read = "['0.31', '< 0.001', '0.010', '−0.2'].map((textContent) => value({textContent}))"
    assert opened(DESK).evaluate(read) == [0.31, 0.001, 0.01, -0.2]


def test_a_number_leads_to_its_file_though_the_list_is_folded(opened):
    page = opened(PHONE)
    link = page.locator("td a").first
    target = page.locator(link.get_attribute("href"))
    assert not target.is_visible()
    link.click()
    target.wait_for(state="visible")


def test_a_screen_reader_finds_tables_with_names_rows_and_headings(opened):
    page = opened(PHONE)  # where the style takes the display of a table away
    table = page.get_by_role("table", name="Table 4: scope of the loss")
    assert table.get_by_role("columnheader").count() > 4
    assert table.get_by_role("rowheader", name="full image").count() == 1
    assert page.get_by_role("navigation", name="Sections").count() == 1
