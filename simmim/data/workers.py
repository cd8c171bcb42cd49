"""Work on many items by several processes of this machine, with the answers in the order of the items.

Every process has a pipe of its own and a thread that hands it one item at a time. So the death of a process is the end
of its pipe, whatever it was doing, where a queue that all share would be waited for without end.
"""

from __future__ import annotations

import itertools
import multiprocessing
import os
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any, TypeVar

from simmim import stopping

Item, Answer = TypeVar("Item"), TypeVar("Answer")
_PATIENCE_SECONDS = 600  # for one answer; an item takes a second at most
_LAST_SECONDS = 5  # for each answer that is still to come when work ends early
_AT_ONCE = 2  # items of each process that are begun or done, so that none waits for a slow one before it


class Workers:
    """Some processes that wait for work; with one, the work is done here.

    Args:
        processes: of this machine.
        saved: what a call that is asked to stop leaves (`stopping.check`).
    """

    def __init__(self, processes: int, saved: str) -> None:
        self._saved = saved
        self._processes: list[BaseProcess] = []
        self._idle: list[tuple[BaseProcess, Connection]] = []
        self._own = threading.local()
        for _ in range(processes if processes > 1 else 0):
            self._start()
        self._threads = ThreadPoolExecutor(processes, initializer=self._take)

    def map(
        self, work: Callable[[Item], Answer], items: Iterable[Item], at_once: int | None = None
    ) -> Iterator[Answer]:
        """What `work` makes of every item, in their order; `work` and items must pickle.

        Where the items end with an error, or it is asked to stop, the answers to the items before are given first.

        Args:
            at_once: items taken before the first answer is given; some for each process by default.

        Raises:
            stopping.Stopped: between two items, where that was asked for.
            ValueError: for a process that ends or does not answer.
        """
        if not self._processes:
            yield from self._done_here(work, items)
            return
        items, waiting = iter(items), deque[Future]()
        at_once = at_once or _AT_ONCE * len(self._processes)
        while True:
            try:
                stopping.check(self._saved)
                for item in itertools.islice(items, at_once - len(waiting)):
                    waiting.append(self._threads.submit(self._ask, work, item))
            except Exception:
                yield from _soon(waiting)
                raise
            if not waiting:
                return
            yield self._answer(waiting.popleft())

    def end(self) -> None:
        """End the processes, whatever they do: they have nothing to save."""
        for process in self._processes:
            process.kill()
        self._threads.shutdown(cancel_futures=True)  # the pipes of the dead have ended, so no thread waits
        for process in self._processes:
            process.join()

    def _done_here(self, work: Callable[[Item], Answer], items: Iterable[Item]) -> Iterator[Answer]:
        for item in items:
            stopping.check(self._saved)
            yield work(item)

    def _start(self) -> None:
        here, there = multiprocessing.Pipe()
        process = multiprocessing.get_context("fork").Process(target=_serve, args=(here, there), daemon=True)
        process.start()
        there.close()  # the process alone has this end, and its death closes it
        self._processes.append(process)
        self._idle.append((process, here))

    def _take(self) -> None:
        """Give the thread that begins a process of its own."""
        if self._idle:
            self._own.process, self._own.pipe = self._idle.pop()

    def _ask(self, work: Callable[[Item], Answer], item: Item) -> Answer:
        try:
            self._own.pipe.send((work, item))
            return self._own.pipe.recv()
        except (EOFError, OSError):
            self._own.process.join()
            raise ValueError(
                f"a process of this job ended with {_end(self._own.process.exitcode)}; {self._saved}. "
                "Run the same command again, with more memory or fewer processes if memory was short"
            ) from None

    def _answer(self, future: Future) -> Answer:
        for _ in range(_PATIENCE_SECONDS):
            with suppress(TimeoutError):
                return future.result(timeout=1)
            stopping.check(self._saved)
        raise ValueError(f"a process of this job has not answered for {_PATIENCE_SECONDS} seconds; {self._saved}")


def _soon(waiting: Iterable[Future]) -> Iterator[Any]:
    """The answers that come within seconds, up to the first that does not."""
    with suppress(TimeoutError, ValueError):
        for future in waiting:
            yield future.result(timeout=_LAST_SECONDS)


@contextmanager
def workers(processes: int, saved: str) -> Iterator[Workers]:
    """Processes to work with inside the block; see `Workers`."""
    started = Workers(processes, saved)
    try:
        yield started
    finally:
        started.end()


def _serve(here: Connection, pipe: Connection) -> None:
    """Answer until the pipe ends; the parent heeds signals."""
    here.close()
    stopping.leave_to_parent()
    _compute_alone()
    while True:
        with _to_parent():
            work, item = pipe.recv()
        try:
            answer = work(item)
        except MemoryError:  # the parent has the words for it
            os._exit(1)
        with _to_parent():
            pipe.send(answer)


def _compute_alone() -> None:
    """One thread in this process, which is one of many; threads of the parent did not come with the fork."""
    os.environ["OMP_NUM_THREADS"] = "1"
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(1)


@contextmanager
def _to_parent() -> Iterator[None]:
    """End this process where its parent has ended."""
    try:
        yield
    except (EOFError, OSError):
        os._exit(0)


def _end(exit_code: int | None) -> str:
    if exit_code is not None and exit_code < 0:
        return f"signal {signal.Signals(-exit_code).name}"
    return f"exit code {exit_code}"
