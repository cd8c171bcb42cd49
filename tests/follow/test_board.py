"""What is told of running jobs: their names, their last words, and how long all of it may take."""

from __future__ import annotations

import io

import pytest

from simmim.follow.board import Board
from simmim.follow.job_log import last_lines, last_state
from simmim.train.progress import Progress


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def board():
    return Board(Clock(), planned={"pretrain": 2, "table": 4})


def test_the_line_of_a_training_is_understood_as_it_is_written(tmp_path):
    stream = io.StringIO()
    Progress("demo/default/finetune seed 1", 0, 480, stream).show(120, 3.1, 0.5042, 9.6e-5, 32)
    (tmp_path / "a.log").write_text(f"1 image left out\n{stream.getvalue()}\n")
    state = last_state(tmp_path / "a.log")
    assert state.label == "default/finetune seed 1"
    assert state.text.startswith("epoch 3.1 loss 0.5042 lr 9.6e-05 ") and state.seconds_left is not None


def test_other_lines_stand_as_they_are_and_no_log_says_nothing(tmp_path):
    (tmp_path / "a.log").write_text("packing\rpacked 300 of 500 images ETA 0:05\n\n")
    state = last_state(tmp_path / "a.log")
    assert state == ("", "packed 300 of 500 images ETA 0:05") and state.seconds_left is None
    assert last_state(None) == last_state(tmp_path / "b.log") == ("", "")
    (tmp_path / "long.log").write_text("".join(f"line {n}\n" for n in range(100_000)))
    assert last_lines(tmp_path / "long.log", 2) == ["line 99998", "line 99999"]


def test_a_job_is_called_by_its_rule_and_wildcards(board):
    board.start(7, "pretrain", {"scale": "demo", "run": "default", "seed": "0"}, None)
    board.clock.now = 65
    assert board.lines() == [("pretrain default seed 0", "(1:05)")]
    assert board.finish(7) == "[1:05] 1/6 pretrain default seed 0 (1:05)"
    assert board.finish(7) == "", "it was told before"


def test_what_is_to_come_takes_as_long_as_what_was(board, tmp_path):
    assert board.seconds_left() is None
    (tmp_path / "a.log").write_text("demo/default seed 0 1/9 epoch 0.1 loss 1 lr 1e-3 9 img/s ETA 1:40\n")
    board.start(1, "pretrain", {}, tmp_path / "a.log")
    assert board.seconds_left() == 100 + 100 + 4 * 100, "the one length that is known stands for all"
    board.start(2, "table", {}, None)
    board.clock.now = 10
    board.finish(2)
    # This training has 100 s to go and is 110 s long, as is the one to come; a table took 10 s and three are to come.
    assert board.seconds_left() == (100 + 110 + 3 * 10) / 2
    board.fail(1, "pretrain")
    assert board.summary().startswith("[0:10] 1 of 6 jobs done, 1 failed (pretrain)")
    board.start(3, "pretrain", {}, tmp_path / "a.log")
    assert "failed" not in board.summary(), "it was started again"
