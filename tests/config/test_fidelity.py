"""docs/fidelity.md: its settings are those of scale `paper`, and what it names exists."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from simmim.config.reading import parse_set
from simmim.config.sheets import Sheets

ROOT = Path(__file__).parents[2]
SHEETS = Sheets(ROOT / "config").without_data
PAGE = (ROOT / "docs" / "fidelity.md").read_text()


def lines(width: int) -> list[list[str]]:
    """Cells of every line of the page's tables of so many columns, without their heads."""
    rows = [row.strip("| ").split(" | ") for row in PAGE.splitlines() if row.startswith("| ")]
    return [row for row in rows if len(row) == width and row[0] not in ("paper", "---")]


SETTINGS = [(row, text.strip("`")) for _, rows, text in lines(3) for row in rows.strip("`").split()]


def resolved(row: str) -> dict[str, Any]:
    """Config of a run, or of `run/evaluation`, at scale `paper`."""
    run, _, evaluation = row.partition("/")
    config = SHEETS.evaluation("paper", run, evaluation) if evaluation else SHEETS.pretraining("paper", run)
    return config.as_json()


def value_of(config: dict[str, Any], key: str) -> Any:
    """A setting by its dotted name; of a component its name."""
    if key == "lr":
        train = config["train"]
        return train["base_lr"] * train["batch"] / train["base_lr_batch"]
    for part in key.split("."):
        config = config[part]
    return config["name"] if isinstance(config, dict) else config


def wanted(key: str, text: str) -> Any:
    """What the page says, as the configuration writes it."""
    value = yaml.load(text.replace("e-", ".0e-") if re.fullmatch(r"\de-\d", text) else text, yaml.SafeLoader)
    return [value, value] if key == "geometry.image_px" else value


@pytest.mark.parametrize(("row", "text"), SETTINGS, ids=lambda each: each[:40])
def test_a_setting_is_that_of_the_paper(row, text):
    config = resolved(row)
    for key, said in parse_set(text).items():
        assert value_of(config, key) == pytest.approx(wanted(key, said)), f"{row}: {key}"


def test_the_page_covers_every_row_that_the_tables_of_the_paper_compare():
    """A row of the sheets behind a printed accuracy has its settings on the page, or goes by another's recipe there."""
    said = {row.partition("/")[0] for row, _ in SETTINGS}
    shown = {cell.run for (table, *_), cell in SHEETS.paper.items() if re.fullmatch(r"table\d+", table) and cell.run}
    others = {"dino_vit_b", "moco_v3_vit_b", "mpp_vit_b", "beit_vit_b"}  # their settings are other papers'
    assert {run for run in shown if not run.startswith("random_")} - others <= said


def test_every_statement_has_a_status_and_every_file_that_is_named_exists():
    statements = lines(4)
    assert len(statements) > 30
    for paper, statement, status, here in statements:
        assert status in ("exactly", "differs", "not possible"), statement
        assert paper and here, statement
        if status != "exactly":
            assert len(here) > 40, f"no reason: {statement}"
    for path in re.findall(r"`((?:simmim|config|tests|docs)/[\w/.]+)`", PAGE):
        assert (ROOT / path).exists(), path
