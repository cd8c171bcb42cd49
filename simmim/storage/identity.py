"""What a result belongs to: the hash of its config and the version of the code (standard library only)."""

from __future__ import annotations

import functools
import hashlib
import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_PACKAGE = Path(__file__).parents[1]


def config_hash(config: Mapping[str, Any]) -> str:
    """Twelve hex digits that change with any value of a config of JSON values."""
    return hashlib.sha256(json.dumps(config, sort_keys=True).encode()).hexdigest()[:12]


@functools.cache
def code_version() -> str:
    """Commit of the working copy (where there is one) and digest of the package's source files."""
    digest = hashlib.sha256()
    for path in sorted(_PACKAGE.rglob("*.py")):
        digest.update(path.relative_to(_PACKAGE).as_posix().encode() + b"\0" + path.read_bytes())
    command = ["git", "-C", str(_PACKAGE), "rev-parse", "--short=10", "HEAD"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=10)
        commit = answer.stdout.strip() if answer.returncode == 0 else "no-git"
    except (OSError, subprocess.TimeoutExpired):
        commit = "no-git"
    return f"{commit}+{digest.hexdigest()[:10]}"
