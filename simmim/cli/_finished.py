"""Whether a job is done already."""

from __future__ import annotations

from pathlib import Path

from simmim.config.differences import refuse_changed
from simmim.config.models import JobConfig
from simmim.storage import records


def is_finished(out: Path, config: JobConfig, *beside: Path) -> bool:
    """Whether `out` holds the finished records of this config, with all that belongs `beside` it.

    Those of another config are never overwritten.
    """
    if not out.is_file():
        return False
    refuse_changed(out, records.metadata(out)["config"], config.as_json(), remove=out)
    if not all(path.exists() for path in beside):
        return False
    print(f"{out} is finished, nothing to do")
    return True
