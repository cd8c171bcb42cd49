"""One status line on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from typing import TextIO

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text


class Progress:
    """Tells how far a training has come.

    Args:
        label: what is being trained.
        steps: updates in all.
        every_seconds: between plain lines; a terminal's line is renewed twice a second.
    """

    def __init__(
        self, label: str, start_step: int, steps: int, stream: TextIO | None = None, every_seconds: float = 10
    ) -> None:
        self._label, self._start, self._steps = label, start_step, steps
        self._stream = stream or sys.stderr
        console = Console(file=self._stream)
        self._live = Live(console=console, auto_refresh=False) if self._stream.isatty() else None
        self._pause = 0.5 if self._live else every_seconds
        self._began = self._shown = time.monotonic()

    def due(self, step: int) -> bool:
        """Whether `show` would print at this step; asked before anything is fetched from the device."""
        return step == self._steps or time.monotonic() - self._shown >= self._pause

    def show(self, step: int, epoch: float, loss: float, learning_rate: float, batch: int) -> None:
        """Print the state after `step` updates."""
        now = self._shown = time.monotonic()
        rate = (step - self._start) / max(now - self._began, 1e-9)
        state = (
            f"{step}/{self._steps} epoch {epoch:.1f} loss {loss:.4f} lr {learning_rate:.1e} "
            f"{rate * batch:.0f} img/s ETA {_duration((self._steps - step) / max(rate, 1e-9))}"
        )
        if self._live:
            self._live.start()  # does nothing the second time
            self._live.update(_one_line(self._label, state), refresh=True)
        else:
            print(self._label, state, file=self._stream, flush=True)

    def close(self) -> None:
        """Leave the last line on the terminal and give the cursor back."""
        if self._live:
            self._live.stop()


def _one_line(label: str, state: str) -> Table:
    """Label and state in one row that never wraps; where the terminal is narrow the label is cut, not the state."""
    row = Table.grid(padding=(0, 1), expand=True)
    row.add_column(no_wrap=True, overflow="ellipsis", ratio=1)
    row.add_column(no_wrap=True, min_width=len(state))
    row.add_row(Text(label), Text(state))
    return row


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"
