"""Where the sheets, recipes and rules that come with the package lie: links in a checkout, files in a wheel."""

from __future__ import annotations

from pathlib import Path

_SHIPPED = Path(__file__).parents[1] / "shipped"


def config_folder() -> Path:
    """The project's `config/`."""
    return _SHIPPED / "config"


def workflow_folder() -> Path:
    """The project's `workflow/`."""
    return _SHIPPED / "workflow"
