"""Starts work again that ended before it was done: at once where it died, through Slurm's queue where it was stopped.

    python -m simmim.cluster.again COMMAND      what the workflow starts every long job with, on a cluster or not

A process that ends on purpose says so (`simmim/said.py`). One that ends without a word, by a signal, by the watchdog or
by an error that nobody foresaw, is started again in the same job, as often as it has saved something new, and three
times in a row where it has not. Once it has saved something, the next attempt waits beside it, everything imported:
that takes seconds otherwise, and half a gigabyte of memory for each process. What was asked to stop goes back into the
queue, which uses up none of Snakemake's retries; a mistake or a loss that is not finite ends the job.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence

from simmim import said
from simmim.cluster.attempt import Attempt, adopt_orphans, end_orphans
from simmim.stopping import EXIT_RUN_AGAIN, SIGNALS, TO_SAVE

MINUTES = "SIMMIM_MAX_RUNTIME"  # what the workflow grants a job; set by hand nowhere
_UNTIL_IT_IS_ENDED = 60.0  # seconds in which Slurm ends a job that it runs again
_MISTAKES = 2, 4, 141  # exit codes of ends that the same command would come to once more
_TIMES = 3
# How long torchrun lets its ranks save once it is told to stop, else 30 s; PyTorch 2.11 has neither this nor an option.
_TORCHRUN_WAITS = "TORCH_ELASTIC_SHUTDOWN_TIMEOUT"


class Supervisor:
    """Runs one command until it is done, asked to stop, or cannot go on."""

    def __init__(self, command: Sequence[str]) -> None:
        self._command, self._began = command, time.monotonic()
        self._asked = False
        self._now: Attempt | None = None
        self._spare: Attempt | None = None  # has imported everything once it is needed
        self._refused: set[str] = set()  # what was saved when the machine gave no room for it

    def run(self) -> int:
        """The exit code for Snakemake: the command's, 75 where it was asked to stop, 128 + the signal of its death."""
        for number in SIGNALS:
            signal.signal(number, self._pass_on)
        adopt_orphans()
        os.environ.setdefault(_TORCHRUN_WAITS, str(TO_SAVE))
        saved: set[str] = set()
        times = in_vain = 0
        while True:
            code, new, ends = self._attempt()
            if (meant := _meant(code, ends, self._asked)) is not None:
                return self._left(meant)
            in_vain, saved = 0 if new - saved else in_vain + 1, saved | new
            if in_vain > _TIMES:
                _print(f"{_how(code)}; it has saved nothing new in {_TIMES + 1} attempts, so the job ends")
                return self._left(_given_up(code))
            times += 1
            _print(f"{_how(code)}; started again, for the {_ordinal(times)} time, from what is saved")

    def _attempt(self) -> tuple[int, set[str], set[int]]:
        """Exit code of one run of the command, what it said that it saved, and the exit codes that were meant."""
        now = self._now = self._begun()
        if self._asked:
            now.process.send_signal(signal.SIGTERM)
        while now.goes_on(said.stuck_seconds()):
            if not self._spare and not self._asked and not self._several_nodes():
                self._prepare(said.heard(now.file)[0])
        if now.process.returncode is None:
            _print(f"no sign of life for {said.stuck_seconds() / 60:g} minutes")
        told = said.heard(now.file)
        code = now.close()
        # Ranks whose launcher did not outlive the signal that asked all of them to stop may save, too.
        end_orphans(TO_SAVE if self._asked else 0, [self._spare.process.pid] if self._spare else [])
        return code, *told

    def _several_nodes(self) -> bool:
        """Whether the command is a step over the nodes of its job, where a second one would wait for the first to end.

        The plugin hides from a job how many nodes it has; what starts it says so (workflow/rules/launch.smk).
        """
        return any(re.fullmatch(r"--nodes=([2-9]|\d{2,})", word) for word in self._command)

    def _prepare(self, saved: set[str]) -> None:
        """Start the spare once something is saved; without one, a full disk or process table ends no work."""
        if saved <= self._refused:
            return
        try:
            self._spare = Attempt(self._command, {}, waits=True)
        except OSError as error:
            self._refused = saved
            _print(f"no next attempt waits beside this one ({error}); it is tried once more after the next save")

    def _begun(self) -> Attempt:
        """The spare, or else a new attempt, at work."""
        spare, self._spare = self._spare, None
        if spare and spare.process.poll() is None:
            spare.take_turn(self._minutes_left())
            return spare
        return Attempt(self._command, self._minutes_left())

    def _left(self, code: int) -> int:
        """The same exit code, with nothing left behind."""
        if self._spare:
            self._spare.close()
            end_orphans(0)
        return code

    def _minutes_left(self) -> dict[str, str]:
        if MINUTES not in os.environ:
            return {}
        return {MINUTES: str(max(0.01, float(os.environ[MINUTES]) - (time.monotonic() - self._began) / 60))}

    def _pass_on(self, number: int, frame: object) -> None:
        """As TERM: what reaches a whole group has reached the command too, and a second INT would end it at once."""
        self._asked = True
        if self._now:
            self._now.process.send_signal(signal.SIGTERM)


def put_back(environment: Mapping[str, str]) -> None:
    """Ask Slurm to run this job of the workflow again, and wait for the end of this run; nothing elsewhere.

    A job that does not run any more was cancelled, or Slurm has put it back itself: Slurm would run it again even so.
    Where it refuses, the job ends as it is, and Snakemake decides.
    """
    job = environment.get("SLURM_JOB_ID")
    if not job or MINUTES not in environment or _state(job) != "RUNNING":
        return
    asked = subprocess.run(["scontrol", "requeue", job], capture_output=True, text=True, check=False)
    if asked.returncode == 0:
        _print(f"Slurm runs job {job} again")
        time.sleep(_UNTIL_IT_IS_ENDED)


def _state(job: str) -> str:
    asked = subprocess.run(["squeue", "--noheader", f"--jobs={job}", "--format=%T"], capture_output=True, text=True)
    return asked.stdout.strip()


def _meant(code: int, ends: set[int], asked: bool) -> int | None:
    """The exit code of an end on purpose, whatever a launcher such as torchrun made of it; None for any other."""
    if code == 0:
        return 0
    for each in (*_MISTAKES, EXIT_RUN_AGAIN):
        if each in ends or (code == each and each in _MISTAKES):
            return each
    return EXIT_RUN_AGAIN if asked else None


def _given_up(code: int) -> int:
    """The exit code of a job that gets nowhere: 75 would put it back into the queue, where nobody counts its tries."""
    ended = 1 if code == EXIT_RUN_AGAIN else code
    return ended if ended > 0 else 128 - ended


def _how(code: int) -> str:
    if code < 0:
        return f"died of {signal.Signals(-code).name}"
    return "was stuck" if code == EXIT_RUN_AGAIN else f"ended with {code}"


def _ordinal(number: int) -> str:
    last = "th" if number % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{last}"


def _print(sentence: str) -> None:
    print(f"simmim: {sentence}", flush=True)


def main(command: Sequence[str]) -> int:
    """Run a command as said above, and put its job back into the queue where it was asked to stop."""
    try:
        said.stuck_seconds()
    except ValueError as error:
        _print(f"error: {error}")
        return _MISTAKES[0]
    code = Supervisor(command).run()
    if code == EXIT_RUN_AGAIN:
        put_back(os.environ)
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
