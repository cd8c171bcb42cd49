"""Snakemake's events as a person needs them: what runs and how far it is, what failed and why."""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text
from snakemake_interface_logger_plugins.base import LogHandlerBase
from snakemake_interface_logger_plugins.common import LogEvent

from simmim.follow.board import Board
from simmim.follow.job_log import last_lines

EVERY_SECONDS = 10.0  # between plain lines
_RENEWED_SECONDS = 1.0  # of a terminal
_LOG_LINES = 60  # of a job that failed
# What Snakemake says of itself at every start.
_NOISE = (
    *(
        "Assuming unrestricted shared",
        "host:",
        "Building DAG",
        "Using shell",
        "Provided ",
        "Rules claiming",
        "Select jobs",
    ),
    *("Execute ", "Conda environments", "Singularity", "Complete log", "Group jobs", "Elapsed time"),
)
_SAID_BY_THE_JOB = "RuleException:\nCalledProcessError"  # a command failed: its job's own event says so, with its log


class LogHandler(LogHandlerBase):
    """Shows the events of one run of Snakemake on stderr: in place on a terminal, else by plain lines."""

    writes_to_stream = True
    writes_to_file = False
    has_filter = False
    has_formatter = False
    needs_rulegraph = False

    def __post_init__(self) -> None:
        self._board, self._lock, self._over = Board(), threading.RLock(), threading.Event()
        self._console = Console(file=sys.stderr, highlight=False, markup=False, soft_wrap=True)
        # FORCE_COLOR makes no terminal of a log, and TERM=dumb is one that cannot go back.
        renews = sys.stderr.isatty() and self._console.is_interactive
        self._live = Live(console=self._console, auto_refresh=False, transient=True) if renews else None
        self._shows: dict[LogEvent | None, Callable[[Any], None]] = {
            LogEvent.RUN_INFO: self._plan,
            LogEvent.JOB_INFO: self._start,
            LogEvent.JOB_FINISHED: self._finish,
            LogEvent.JOB_ERROR: self._fail,
            None: self._message,
            LogEvent.ERROR: self._message,
        }
        if not self.common_settings.dryrun:
            threading.Thread(target=self._tell, daemon=True).start()

    def emit(self, record: logging.LogRecord) -> None:
        """Show one event; those of a dry run as Snakemake does."""
        with self._lock:
            if self.common_settings.dryrun:
                self._print(self.format(record))
            elif show := self._shows.get(getattr(record, "event", None)):
                show(record)

    def close(self) -> None:
        """Leave a last line about everything."""
        if not self._over.is_set() and not self.common_settings.dryrun:
            self._over.set()
            with self._lock:
                if self._live:
                    self._live.stop()
                self._print(self._board.summary() if self._board.total else "")
        super().close()

    def _plan(self, record: Any) -> None:
        self._board.planned = {rule: count for rule, count in record.stats.items() if rule != "total"}
        self._print(f"{self._board.total} jobs: {', '.join(f'{n} {rule}' for rule, n in self._board.planned.items())}")

    def _start(self, record: Any) -> None:
        log = next(iter(record.log), None)
        self._board.start(record.jobid, record.rule_name, dict(record.wildcards), log and Path(log))

    def _finish(self, record: Any) -> None:
        self._print(self._board.finish(record.job_id))

    def _fail(self, record: Any) -> None:
        """The whole of what a failed job said, or the command of one that said nothing."""
        name, log = self._board.fail(record.jobid, record.rule_name), next(iter(record.log), None)
        said = last_lines(log and Path(log), _LOG_LINES)
        where = (
            f"the end of its log {log}" if said else f"nothing in its log {log}; its command" if log else "its command"
        )
        lines = said or [record.shellcmd or "(no shell command)"]
        self._print("\n".join([f"FAILED {name}; {where}:", *(f"    {line}" for line in lines)]))

    def _message(self, record: logging.LogRecord) -> None:
        text = record.getMessage() if record.msg else ""
        noise = (_SAID_BY_THE_JOB,) if record.levelno > logging.INFO else _NOISE
        if not text.startswith(noise):
            self._print(text.strip())

    def _print(self, text: str) -> None:
        if text:
            self._console.print(Text(text))

    def _tell(self) -> None:
        """Renew what is shown, from a thread of its own, so that nothing is silent however long a job is."""
        while not self._over.wait(_RENEWED_SECONDS if self._live else EVERY_SECONDS):
            with self._lock:
                if self._live and self._board.running:
                    self._live.start()  # does nothing the second time
                    self._live.update(self._table(), refresh=True)
                elif not self._live:
                    lines = [f"    {name}: {state}" for name, state in self._board.lines()]
                    self._print("\n".join([self._board.summary(), *lines]))

    def _table(self) -> Table:
        """A line for all, and for each running job one, or two where they would not fit."""
        grid = Table.grid(padding=(0, 2))
        grid.add_column(no_wrap=True, overflow="ellipsis")
        for line in [self._board.summary(), *self._job_lines()]:
            grid.add_row(Text(line))
        return grid

    def _job_lines(self) -> Iterator[str]:
        for name, state in self._board.lines():
            both = f"  {name}  {state}"
            yield from [both] if len(both) <= self._console.width else [f"  {name}", f"      {state}"]
