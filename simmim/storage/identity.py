"""What saved work belongs to, and the version of the code that made it (standard library only)."""

from __future__ import annotations

import functools
import hashlib
import json
import subprocess
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

_PACKAGE = Path(__file__).parents[1]


@dataclass(frozen=True)
class Identity:
    """What determines the numbers of saved work: only what has the same goes on with it, or reads it.

    Code, torch, device, number format and processes are not in it: a run may move to another machine or a newer
    version, and its records say when it did.

    Args:
        config: JSON values, without settings of the machine.
        seed: None for work that draws nothing of its own.
        data_digests: of the packed sets, by split.
        made_from: digests of the files that it started from, by role: encoder, tokenizer, first_stage.
    """

    config: Mapping[str, Any]
    seed: int | None = None
    data_digests: Mapping[str, str] = field(default_factory=dict)
    made_from: Mapping[str, str] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """JSON values, as they are stored."""
        return json.loads(json.dumps(asdict(self)))


def config_hash(config: Mapping[str, Any]) -> str:
    """Twelve hex digits that change with any value of a config of JSON values."""
    return hashlib.sha256(json.dumps(config, sort_keys=True).encode()).hexdigest()[:12]


@functools.cache
def code_version() -> str:
    """Commit of the working copy (where there is one) and `code_digest`.

    A repository that does not hold this file is another's, in which an environment with the package lies.
    """
    is_ours = _git("ls-files", "--error-unmatch", "__init__.py")
    commit = is_ours and _git("rev-parse", "--short=10", "HEAD")
    return f"{commit or 'no-git'}+{code_digest()}"


def _git(*command: str) -> str:
    """What git says of the repository round the package, "" where there is none."""
    try:
        answer = subprocess.run(["git", "-C", str(_PACKAGE), *command], capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return answer.stdout.strip() if answer.returncode == 0 else ""


@functools.cache
def code_digest() -> str:
    """Digest of the package's source files: the same on a machine without git, and after a commit of other files."""
    digest = hashlib.sha256()
    for path in sorted(_PACKAGE.rglob("*.py")):
        digest.update(path.relative_to(_PACKAGE).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:10]
