"""One status line on a terminal, plain lines elsewhere."""

from __future__ import annotations

import shutil
import sys
import time
from typing import TextIO


class Progress:
    """Tells how far a training has come.

    Args:
        label: what is being trained.
        steps: updates in all.
        every_seconds: between plain lines; a terminal's line is renewed twice a second.
    """

    def __init__(
        self, label: str, start_step: int, steps: int, stream: TextIO | None = None, every_seconds: float = 10
    ):
        self._label, self._start, self._steps = label, start_step, steps
        self._stream = stream or sys.stderr
        self._live = self._stream.isatty()
        self._pause = 0.5 if self._live else every_seconds
        self._began = self._spoke = time.monotonic()

    def due(self, step: int) -> bool:
        """Whether `show` would print at this step; asked before anything is fetched from the device."""
        return step == self._steps or time.monotonic() - self._spoke >= self._pause

    def show(self, step: int, epoch: float, loss: float, learning_rate: float, batch: int) -> None:
        """Print the state after `step` updates."""
        now = self._spoke = time.monotonic()
        rate = (step - self._start) / max(now - self._began, 1e-9)
        line = (
            f"{self._label} {step}/{self._steps} epoch {epoch:.1f} loss {loss:.4f} lr {learning_rate:.1e} "
            f"{rate * batch:.0f} img/s ETA {_duration((self._steps - step) / max(rate, 1e-9))}"
        )
        if self._live:
            line = line[-shutil.get_terminal_size().columns :]  # a wrapped line could not be renewed
        end = "\n" if not self._live or step == self._steps else ""
        self._stream.write(f"\r\033[K{line}{end}" if self._live else line + end)
        self._stream.flush()


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"
