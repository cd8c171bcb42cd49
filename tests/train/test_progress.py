"""The status line: one renewed line on a terminal, plain lines elsewhere."""

import io
import re
import time

import pytest

from simmim.train.progress import Count, Line, Progress, duration

STATE = r"\d+/10 epoch 0\.4 loss 0\.5123 lr 1\.3e-04 \d+ img/s ETA \d+:\d\d data 0%"


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture(autouse=True)
def clock(monkeypatch):
    """Every look at the clock is a second later."""
    seconds = iter(range(1000))
    monkeypatch.setattr("simmim.train.progress.time.monotonic", lambda: next(seconds))


def show(stream, label="demo/mask_r16_r60 seed 0", steps=(1, 2, 10)):
    progress = Progress(label, 0, 10, stream, every_seconds=0)
    for step in steps:
        assert progress.due(10)
        progress.show(step, 0.4, 0.51234, 1.25e-4, 128)
    progress.close()
    return stream.getvalue()


def lines_of(shown):
    """What a terminal was given between its control sequences."""
    return [part for part in re.split(r"\x1b\[\?25[lh]|\r\x1b\[2K|\n", shown) if part.strip()]


@pytest.mark.parametrize("forced", [False, True])
def test_a_log_gets_one_plain_line_each_time(monkeypatch, forced):
    if forced:
        monkeypatch.setenv("FORCE_COLOR", "1")  # as some schedulers set for log files
    lines = show(io.StringIO()).splitlines()
    assert len(lines) == 3
    for line, step in zip(lines, (1, 2, 10)):
        assert re.fullmatch(f"demo/mask_r16_r60 seed 0 {STATE}", line) and f" {step}/10 " in line


def test_a_terminal_that_cannot_go_back_gets_plain_lines(monkeypatch):
    monkeypatch.setenv("TERM", "dumb")
    assert show(Terminal()).splitlines() == show(io.StringIO()).splitlines()


@pytest.mark.parametrize("columns", [80, 120])
@pytest.mark.parametrize("label", ["demo/default seed 0", "small/a_run_with_a_name_that_is_much_too_long seed 2"])
def test_a_terminal_s_line_is_renewed_and_fits(monkeypatch, columns, label):
    monkeypatch.setenv("COLUMNS", str(columns))
    shown = show(Terminal(), label)
    assert shown.count("\n") == 1  # the last state stays
    for line in lines_of(shown):
        assert len(line) <= columns and re.search(STATE, line) and line.startswith(label[:10])
    assert any(label in line for line in lines_of(shown)) == (columns == 120)


def test_the_cursor_comes_back_where_a_training_fails():
    stream = Terminal()
    show(stream, steps=(1,))
    assert stream.getvalue().endswith("\x1b[?25h")


def test_speed_and_remaining_time_count_from_where_the_run_went_on():
    stream = io.StringIO()
    progress = Progress("run", 4, 10, stream, every_seconds=0)  # second 0
    progress.show(6, 1.0, 0.5, 0.1, 32)  # second 1: 2 steps, 4 are left
    assert stream.getvalue() == "run 6/10 epoch 1.0 loss 0.5000 lr 1.0e-01 64 img/s ETA 0:02 data 0%\n"


def test_nothing_is_fetched_for_a_line_that_is_not_due():
    progress = Progress("run", 0, 100, io.StringIO(), every_seconds=3)  # second 0
    assert [progress.due(5) for _ in range(3)] == [False, False, True]
    assert progress.due(100)


@pytest.mark.parametrize(("seconds", "shown"), [(0.4, "0:00"), (61, "1:01"), (3599.6, "1:00:00"), (7325, "2:02:05")])
def test_durations(seconds, shown):
    assert duration(seconds) == shown


def test_the_share_of_time_that_waits_for_data_is_that_since_the_last_line():
    stream = io.StringIO()
    progress = Progress("run", 0, 10, stream, every_seconds=0)  # second 0
    for waited in (0.5, 1.0):
        progress.show(2, 1.0, 0.5, 0.1, 32, waited_seconds=waited)  # seconds 1 and 3; each line takes a second
    assert [line.rsplit(" ", 1)[1] for line in stream.getvalue().splitlines()] == ["50%", "25%"]


def test_work_that_says_nothing_is_not_silent(monkeypatch):
    monkeypatch.undo()
    monkeypatch.setattr("simmim.train.progress._LOOK_SECONDS", 0.005)
    stream = io.StringIO()
    line = Line("packing", stream, every_seconds=0.02)
    line.say("8 images")
    time.sleep(0.2)
    line.close()
    first, *more = stream.getvalue().splitlines()
    assert first == "packing 8 images" and len(more) > 1 and set(more) == {"packing 8 images (0:00 on it)"}


def test_of_several_processes_the_first_one_speaks(monkeypatch):
    monkeypatch.undo()
    monkeypatch.setattr("simmim.train.progress._LOOK_SECONDS", 0.005)
    for rank, spoken in (("0", True), ("1", False)):
        monkeypatch.setenv("RANK", rank)
        stream = io.StringIO()
        line = Line("scoring", stream, every_seconds=0.02)
        time.sleep(0.1)
        line.say("8 images")
        line.close()
        assert bool(stream.getvalue()) == spoken


def test_what_is_counted_is_said_at_the_end():
    stream = io.StringIO()
    with Count("photos/train: packing", "images", stream) as count:
        for _ in range(3):
            count.add()
    assert re.fullmatch(r"photos/train: packing 3 images, \d+ images/s", stream.getvalue().splitlines()[-1])


def test_an_error_is_the_last_word():
    stream = io.StringIO()
    with pytest.raises(ValueError, match="unusable"), Count("photos/train: packing", "images", stream) as count:
        count.add()
        raise ValueError("one image is unusable")
    assert stream.getvalue() == ""
