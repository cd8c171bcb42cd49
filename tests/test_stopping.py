"""Signals and the end of the time given are noted, and long work leaves with exit code 75."""

import os
import signal
import time

import pytest

from simmim import stopping
from simmim.__main__ import main


@pytest.mark.parametrize("number", stopping.SIGNALS)
def test_a_signal_is_noted_and_nothing_else_happens(number):
    before = signal.getsignal(number)
    with stopping.heeded():
        stopping.check("nothing")
        os.kill(os.getpid(), number)
        with pytest.raises(stopping.Stopped, match=f"got {number.name}; all is saved; the same command goes on"):
            stopping.check("all is saved")
    assert stopping.reason() == "" and signal.getsignal(number) is before


def test_a_second_ctrl_c_ends_the_process_at_once():
    with stopping.heeded(), pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)


def test_ctrl_c_in_a_verb_that_has_nothing_to_save_is_one_line(monkeypatch, capsys):
    def interrupted(*_):
        os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr("simmim.own.listing.check_choice", interrupted)
    assert main(["list", "models"]) == 130
    assert capsys.readouterr() == ("", "simmim: stopped: interrupted\n")


@pytest.mark.parametrize(
    ("minutes", "seconds", "why"),
    [(1, 41, ""), (1, 43, "the time given ends"), (60, 3470, ""), (60, 3490, "the time given ends"), (0, 1e9, "")],
)
def test_the_time_given_ends_early_enough_to_save(minutes, seconds, why, monkeypatch):
    with stopping.heeded(minutes):
        now = time.monotonic()
        monkeypatch.setattr("simmim.stopping.time.monotonic", lambda: now + seconds)
        assert stopping.reason() == why
