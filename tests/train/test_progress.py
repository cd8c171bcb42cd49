"""The status line: one renewed line on a terminal, plain lines elsewhere."""

import io
import re

from simmim.train.progress import Progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


def show(stream, steps=(1, 2, 10)):
    progress = Progress("demo/mask_r16_r60 seed 0", 0, 10, stream, every_seconds=0)
    for step in steps:
        assert progress.due(10)
        progress.show(step, step / 5, 0.51234, 1.25e-4, 128)
    return stream.getvalue()


def test_a_log_gets_one_plain_line_each_time():
    lines = show(io.StringIO()).splitlines()
    assert len(lines) == 3 and "\r" not in "".join(lines)
    pattern = r"demo/mask_r16_r60 seed 0 2/10 epoch 0\.4 loss 0\.5123 lr 1\.3e-04 \d+ img/s ETA \d+:\d\d"
    assert re.fullmatch(pattern, lines[1])


def test_a_terminal_s_line_is_renewed_and_never_wraps(monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    shown = show(Terminal())
    assert shown.count("\n") == 1 and shown.endswith("\n")
    for line in shown.strip().split("\r\033[K")[1:]:
        assert len(line) <= 60 and "ETA" in line


def test_nothing_is_fetched_for_a_line_that_is_not_due():
    progress = Progress("run", 0, 100, io.StringIO(), every_seconds=60)
    assert not progress.due(5)
    assert progress.due(100)
