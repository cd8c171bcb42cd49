"""What a verb reads of the folder it works in."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, get_type_hints

from simmim.config.sheets import Sheets
from simmim.jobs import Jobs

DEFAULT = Path("config")


def jobs_for(verb: Callable[..., Any], config: Path, results: Path) -> Jobs | None:
    """The jobs of the sheets in `config`; None for a verb that can do without them where there are none."""
    optional = get_type_hints(verb)["jobs"] != Jobs
    return None if optional and config == DEFAULT and not config.exists() else Jobs(Sheets(config), str(results))
