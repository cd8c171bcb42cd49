"""What the shared folder must be able to do: a rename in one piece, and locks that another process sees."""

from __future__ import annotations

import fcntl
import subprocess
import sys
import tempfile
from pathlib import Path

_OTHER = "import fcntl, sys; fcntl.flock(open(sys.argv[1]), fcntl.LOCK_EX | fcntl.LOCK_NB)"


def faults(folder: Path) -> list[str]:
    """A sentence for what a folder cannot do; it is made if need be."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".checked-", dir=folder) as made:
            return [*_rename_faults(Path(made)), *_lock_faults(Path(made) / "lock")]
    except OSError as error:
        return [f"{folder} cannot be written to: {error.strerror}"]


def _rename_faults(made: Path) -> list[str]:
    for name in ("old", "new"):
        (made / name).write_text(name)
    (made / "new").replace(made / "old")
    return [] if (made / "old").read_text() == "new" else [f"a rename in {made.parent} did not replace the file"]


def _lock_faults(file: Path) -> list[str]:
    with file.open("w") as opened:
        try:
            fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            return [f"files in {file.parents[1]} cannot be locked ({error.strerror}): mount it with locks"]
        other = subprocess.run([sys.executable, "-c", _OTHER, str(file)], capture_output=True)
    return [] if other.returncode else [f"a lock in {file.parents[1]} does not keep another process out"]
