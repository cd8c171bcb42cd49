"""Whatever happens to a file, the verb that reads it says so in one sentence, or makes the same as of the sound file.

The files that people write (sheets, recipes, images) have no digest: a changed number in them is another number. All
that is asked of these is that a refusal is one sentence and that nothing ends in a traceback.
"""

from __future__ import annotations

import shutil

import pytest
from damaged_project import KINDS, Kind, Project
from damages import NAMES, damaged

QUICK, ALL = 2, 14  # cases of each kind


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    return Project(tmp_path_factory.mktemp("project"))


@pytest.fixture(scope="module")
def sound(project):
    """What a kind's verb makes of sound files, found when it is asked for."""
    found = {}

    def of(kind: Kind):
        key = kind.verb, kind.makes
        if key not in found:
            project.fresh()
            code, found[key], error = outcome(project, kind)
            assert code == 0, error
        return found[key]

    return of


def outcome(project: Project, kind: Kind):
    """Exit code, what was made or printed, and the error."""
    for pattern in kind.makes:
        for path in project.folder.glob(pattern):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    code, printed, error = project.run(*kind.verb)
    if code:
        return code, None, error
    return code, project.result(kind) if kind.makes else printed, error


def check(project: Project, sound, name: str, damage: str, number: int) -> None:
    kind = KINDS[name]
    expected = sound(kind) if kind.is_bound else None
    project.fresh()
    path = project.path(kind.file)
    with damaged(path, damage, number, project.folder / "photos/train/cat/1.png"):
        code, made, error = outcome(project, kind)
    where = f"{name}, {damage} {number}: {error}"
    assert code in (0, 2), where
    if code == 2:
        assert error.startswith("simmim: error: ") and error.count("\n") == 1, where
        assert (path.name if kind.is_bound else str(project.folder)) in error, where
    elif kind.is_bound:
        assert made == expected, where


def cases(of_each: int):
    """Kinds with some damages each, every damage about as often; bits are flipped at a place of its own each time."""
    for place, name in enumerate(KINDS):
        for number in range(of_each):
            yield name, NAMES[(place + number * 4) % len(NAMES)] if number < len(NAMES) else "flip", number


@pytest.mark.parametrize(("name", "damage", "number"), [*cases(QUICK)])
def test_a_damaged_file_is_refused_or_makes_no_difference(project, sound, name, damage, number):
    check(project, sound, name, damage, number)


@pytest.mark.slow
@pytest.mark.timeout(3000)
@pytest.mark.parametrize(("name", "damage", "number"), [each for each in cases(ALL) if each not in [*cases(QUICK)]])
def test_none_of_five_hundred_is_trusted(project, sound, name, damage, number):
    check(project, sound, name, damage, number)


def test_there_are_five_hundred_of_them():
    assert len({*cases(ALL)}) >= 500 and {damage for _, damage, _ in cases(ALL)} == {*NAMES}
