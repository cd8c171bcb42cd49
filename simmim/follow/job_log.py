"""What a running job says last in its log: the status line of a training, or any other line."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

_TAIL_BYTES = 4096
# As simmim/train/progress.py writes it: `demo/default seed 0 120/480 epoch 3.1 loss 0.5042 ... ETA 1:23 data 3%`.
_TRAINING = re.compile(r"^(?:[^/ ]+/)?(?P<label>.+?) \d+/\d+ (?P<state>epoch .*)$")
_ETA = re.compile(r"\bETA (?:(\d+):)?(\d+):(\d+)")


class State(NamedTuple):
    """The last line of a log.

    Args:
        label: what is trained, '' where the line is not of a training.
        text: the line, or what stands behind the label.
    """

    label: str
    text: str

    @property
    def seconds_left(self) -> int | None:
        """The training's own estimate of the time to its end."""
        found = _ETA.search(self.text) if self.label else None
        return found and sum(int(part or 0) * unit for part, unit in zip(found.groups(), (3600, 60, 1)))


def last_state(log: Path | None) -> State:
    """What the log of a job says last; nothing where there is none, or nothing in it yet."""
    lines = last_lines(log, 1)
    if not lines:
        return State("", "")
    training = _TRAINING.match(lines[0])
    return State(training["label"], training["state"]) if training else State("", lines[0])


def last_lines(log: Path | None, count: int) -> list[str]:
    """The last lines of a log that are not blank."""
    try:
        with open(log or "", "rb") as file:
            file.seek(max(0, file.seek(0, 2) - _TAIL_BYTES * count))
            text = file.read().decode("utf-8", "replace")
    except OSError:
        return []
    return [line.rstrip() for line in re.split(r"[\r\n]+", text) if line.strip()][-count:]
