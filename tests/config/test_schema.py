"""The schema that the workflow catalogue renders is the one that the models print."""

from pathlib import Path

from simmim.config.schema import schema

FILE = Path(__file__).parents[2] / "workflow" / "schemas" / "config.schema.yaml"


def test_the_schema_of_the_config_file_is_current():
    assert FILE.read_text(encoding="utf-8") == schema(), f"run: python -m simmim.config.schema > {FILE}"
