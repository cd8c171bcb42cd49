"""A disk that is full, read-only or locked at any write of a save: one sentence, nothing is lost, then it goes on."""

from __future__ import annotations

import contextlib
import errno
import io
import itertools
import shutil
from pathlib import Path

import pytest
from full_disk import FAULTS, Fault
from savers import LONG, QUICK, Inputs, Saver, savers

from simmim import __main__ as command_line

MOST = 400  # writes of one save
_REMOUNTED = {("folder", errno.EROFS)}  # between two renames of a folder neither is there, and no way back


@pytest.fixture(scope="module")
def every_saver(tmp_path_factory):
    return savers(Inputs(tmp_path_factory.mktemp("inputs")))


def ended(saver: Saver, folder: Path, reported: list[int]) -> tuple[int, str]:
    """Exit code and stderr of a verb that saves."""

    def verb() -> None:
        """Save."""
        saver.save(folder, reported.append)

    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stderr(io.StringIO()) as said:
        patch.setattr(command_line, "VERBS", (verb,))
        return command_line.main(["verb"]), said.getvalue()


def come(saver: Saver, folder: Path) -> int:
    """How far the folder is; -1 where the product refuses it."""
    try:
        return saver.read(folder)
    except (OSError, ValueError):
        return -1


# A full disk for every quick save, and a folder that is locked or mounted read-only for one of them; the rest is slow.
EVERYDAY = {("outputs", error) for error in FAULTS} | {(name, errno.ENOSPC) for name in QUICK}
CASES = [
    pytest.param(*case, marks=() if case in EVERYDAY else pytest.mark.slow)
    for case in itertools.product((*QUICK, *LONG), FAULTS)
]


@pytest.mark.parametrize(("name", "error"), CASES, ids=lambda value: errno.errorcode.get(value, value))
def test_a_save_that_fails_says_so_and_loses_nothing(name, error, every_saver, tmp_path):
    saver, prepared, folder = every_saver[name], tmp_path / "prepared", tmp_path / "disk"
    folder.mkdir()
    saver.prepare(folder)
    shutil.copytree(folder, prepared)
    for number in range(MOST):
        shutil.rmtree(folder)
        shutil.copytree(prepared, folder)
        fault, reported = Fault(folder, error, number), [-1 if (name, error) in _REMOUNTED else saver.before]
        with fault.injected():
            code, said = ended(saver, folder, reported)
        where = f"write {number}: {said}"
        if fault.is_past:
            break
        if code:
            assert code == 2 and said.count("\n") == 1 and str(folder) in said, where
            assert error == errno.EROFS or not drafts(folder), where
        assert come(saver, folder) >= max(reported) if code else saver.done, where
        assert ended(saver, folder, []) == (0, ""), where
        assert come(saver, folder) == saver.done and (error == errno.EROFS or not drafts(folder)), where
    assert 3 < number < MOST and come(saver, folder) == saver.done


def drafts(folder: Path) -> list[Path]:
    """What is left of an unfinished save; an extraction of features and a project go on with their own."""
    left = [*folder.rglob(".*.part"), *folder.rglob(".*.lease")]
    return [path for path in left if path.name not in (".train.part", ".project.json.part")]
