"""After a power cut at any moment of a save: what was saved is there, nothing cut is trusted, and all goes on."""

from __future__ import annotations

import shutil

import pytest
from power_cut import Disk, write_tree
from savers import LONG, NAMES, QUICK, Inputs, Saver, savers

WINDOW = {"folder"}  # where a whole folder replaces another, there is a moment with neither


@pytest.fixture(scope="module")
def every_saver(tmp_path_factory):
    return savers(Inputs(tmp_path_factory.mktemp("inputs")))


def come(saver: Saver, folder) -> int:
    """How far the folder is; -1 where the product refuses it."""
    try:
        return saver.read(folder)
    except (OSError, ValueError) as error:
        assert str(error).strip()
        return -1


@pytest.mark.parametrize("name", NAMES)
def test_what_was_saved_is_there_and_all_goes_on(name, every_saver, tmp_path):
    saver, folder = every_saver[name], tmp_path / "disk"
    folder.mkdir()
    saver.prepare(folder)
    disk = Disk(folder)
    disk.reported = -1 if name in WINDOW else saver.before
    with disk.watched():
        saver.save(folder, lambda come: setattr(disk, "reported", come))
        disk.reported = saver.done
    states = disk.states()
    assert len(states) > 4
    for tree, reported in states:
        shutil.rmtree(folder)
        write_tree(folder, tree)
        assert come(saver, folder) >= reported, tree
        saver.save(folder, int)
        assert come(saver, folder) == saver.done


def test_every_saver_is_tried(every_saver):
    assert {*every_saver} == {*QUICK, *LONG} > WINDOW
