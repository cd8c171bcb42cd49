"""The JSON schema of config/config.yaml, as the workflow catalogue renders it: `python -m simmim.config.schema`."""

from __future__ import annotations

import sys

import yaml

from simmim.config.rows import ConfigFile


def schema() -> str:
    """`workflow/schemas/config.schema.yaml`."""
    values = {"$schema": "https://json-schema.org/draft/2020-12/schema"} | ConfigFile.model_json_schema()
    return "# Made by `python -m simmim.config.schema`; edit simmim/config/rows.py instead.\n" + yaml.safe_dump(
        values, sort_keys=False, width=120
    )


if __name__ == "__main__":
    sys.stdout.write(schema())
