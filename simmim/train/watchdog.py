"""Ends a process that is stuck: a hung rank, worker or device makes the others wait, and none of them would say so."""

from __future__ import annotations

import faulthandler
import multiprocessing
import os
import sys
import threading
import time

from simmim.said import stuck_seconds
from simmim.stopping import EXIT_RUN_AGAIN


class Watchdog:
    """Within its block, a process that is not heard of for too long writes its stacks and ends with exit code 75.

    Args:
        label: whose work it is.
        minutes: longest time between two calls of `heard` (the environment's SIMMIM_STUCK_MINUTES, or 20).
    """

    def __init__(self, label: str, minutes: float | None = None) -> None:
        self._limit, self._label = stuck_seconds() if minutes is None else 60 * minutes, label
        self._last = time.monotonic()
        self._ended = threading.Event()

    def __enter__(self) -> Watchdog:
        threading.Thread(target=self._watch, daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        self._ended.set()

    def heard(self) -> None:
        """The work goes on."""
        self._last = time.monotonic()

    def _watch(self) -> None:
        while not self._ended.wait(min(5.0, self._limit / 4)):
            if time.monotonic() - self._last > self._limit:
                print(f"simmim: stopped: {self._label}: no step for {self._limit / 60:g} minutes", file=sys.stderr)
                faulthandler.dump_traceback(sys.stderr)
                sys.stderr.flush()
                for worker in multiprocessing.active_children():
                    worker.kill()
                os._exit(EXIT_RUN_AGAIN)  # anything gentler would wait for what hangs
