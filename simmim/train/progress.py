"""One line that says how work goes: renewed in place on a terminal, plain lines elsewhere, never silent for long."""

from __future__ import annotations

import os
import sys
import threading
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TextIO

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

_EVERY_SECONDS = 10.0
_LOOK_SECONDS = 2.0


class Line:
    """Says how work goes; where nothing is said for too long, a thread of its own repeats what was said last.

    Of several processes of one job the first one speaks.

    Args:
        label: what is being done.
        every_seconds: between plain lines; a terminal's line is renewed twice a second.
    """

    def __init__(self, label: str, stream: TextIO | None = None, every_seconds: float = _EVERY_SECONDS) -> None:
        self._label, self._every = label, every_seconds
        self._stream = stream or sys.stderr
        self._is_first = os.environ.get("RANK", "0") == "0"
        self._live = _renewed(self._stream) if self._is_first else None
        self._state, self._over = "", threading.Event()
        self.began = self._said = self._repeated = time.monotonic()
        threading.Thread(target=_remind, args=(weakref.ref(self), self._over), daemon=True).start()

    def due(self) -> bool:
        """Whether it is time to say something; asked before anything is fetched from the device."""
        return time.monotonic() - self._said >= (0.5 if self._live else self._every)

    def say(self, state: str) -> None:
        """Show a state."""
        self._said, self._state = time.monotonic(), state
        self._show(state)

    def close(self) -> None:
        """Leave the last line on the terminal and give the cursor back."""
        self._over.set()
        if self._live:
            self._live.stop()

    def _show(self, state: str) -> None:
        if not self._is_first:
            return
        if self._live:
            self._live.start()  # does nothing the second time
            self._live.update(_one_line(self._label, state), refresh=True)
        else:
            print(self._label, state, file=self._stream, flush=True)

    def repeat(self) -> None:
        """Show the last state again if nothing was shown for too long."""
        now = time.monotonic()
        if now - max(self._repeated, self._said) >= self._every:
            self._repeated = now
            with suppress(OSError, ValueError):  # nobody listens any more
                self._show(f"{self._state} ({duration(now - self._said)} on it)".strip())


def _renewed(stream: TextIO) -> Live | None:
    """What renews a line in place; None for a log, and for a terminal that cannot go back, such as TERM=dumb."""
    console = Console(file=stream)
    return Live(console=console, auto_refresh=False) if stream.isatty() and console.is_interactive else None


def _remind(line: weakref.ref[Line], over: threading.Event) -> None:
    """Have a line repeat itself, until it is closed or given up."""
    while not over.wait(_LOOK_SECONDS) and (living := line()) is not None:
        living.repeat()
        del living


@contextmanager
def busy(label: str) -> Iterator[None]:
    """Say every few seconds that the block is still at work; nothing at all of a short one."""
    line = Line(label)
    try:
        yield
    finally:
        line.close()


class Count:
    """Counts what has been done of something whose end nobody knows.

    Args:
        what: is counted, such as "images".
    """

    def __init__(self, label: str, what: str, stream: TextIO | None = None) -> None:
        self._line, self._what = Line(label, stream), what
        self._done = 0

    def __enter__(self) -> Count:
        return self

    def __exit__(self, error: type[BaseException] | None, *where: object) -> None:
        if self._done and not error:  # an error speaks for itself
            self._say()
        self._line.close()

    def add(self) -> None:
        """One more is done."""
        self._done += 1
        if self._line.due():
            self._say()

    def _say(self) -> None:
        rate = self._done / max(time.monotonic() - self._line.began, 1e-9)
        self._line.say(f"{self._done} {self._what}, {rate:.0f} {self._what}/s")


class Progress:
    """Tells how far a training has come.

    Args:
        label: what is being trained.
        steps: updates in all.
        every_seconds: between plain lines.
    """

    def __init__(
        self,
        label: str,
        start_step: int,
        steps: int,
        stream: TextIO | None = None,
        every_seconds: float = _EVERY_SECONDS,
    ) -> None:
        self._line, self._start, self._steps = Line(label, stream, every_seconds), start_step, steps
        self._began = self._shown = self._line.began
        self._waited = 0.0

    def due(self, step: int) -> bool:
        """Whether `show` would print at this step."""
        return step == self._steps or self._line.due()

    def show(
        self, step: int, epoch: float, loss: float, learning_rate: float, batch: int, waited_seconds: float = 0.0
    ) -> None:
        """Print the state after `step` updates.

        Args:
            waited_seconds: for data, since the training began.
        """
        now = time.monotonic()
        rate = (step - self._start) / max(now - self._began, 1e-9)
        waiting = (waited_seconds - self._waited) / max(now - self._shown, 1e-9)
        self._shown, self._waited = now, waited_seconds
        self._line.say(
            f"{step}/{self._steps} epoch {epoch:.1f} loss {loss:.4f} lr {learning_rate:.1e} "
            f"{rate * batch:.0f} img/s ETA {duration((self._steps - step) / max(rate, 1e-9))} "
            f"data {min(waiting, 1):.0%}"
        )

    def close(self) -> None:
        """Leave the last line on the terminal and give the cursor back."""
        self._line.close()


def _one_line(label: str, state: str) -> Table:
    """Label and state in one row that never wraps; where the terminal is narrow the label is cut, not the state."""
    row = Table.grid(padding=(0, 1), expand=True)
    row.add_column(no_wrap=True, overflow="ellipsis", ratio=1)
    row.add_column(no_wrap=True, min_width=len(state))
    row.add_row(Text(label), Text(state))
    return row


def duration(seconds: float) -> str:
    """Minutes and seconds, or hours too: 1:01, 2:02:05."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"
