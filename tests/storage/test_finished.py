"""What a finished job leaves in its state, and when it is brought back."""

import subprocess
from dataclasses import replace
from types import SimpleNamespace

import pytest

from simmim.storage import finished, identity
from simmim.storage.identity import Identity
from simmim.storage.sealed_json import read_sealed, write_sealed

OURS = Identity({"epochs": 100}, 0, {"train": "5e7"}, {"first_stage": "0ne"})


def done(tmp_path):
    (tmp_path / "stage").mkdir()
    (tmp_path / "stage" / "model").write_text("weights")
    (tmp_path / "a.txt").write_text("a")
    (tmp_path / "state" / "step-1").mkdir(parents=True)
    outputs = [tmp_path / "a.txt", tmp_path / "stage"]
    finished.keep(tmp_path / "state", outputs, OURS)
    return outputs


def test_lost_outputs_come_back_and_others_stay(tmp_path):
    first, stage = done(tmp_path)
    assert not (tmp_path / "state" / "step-1").exists() and (tmp_path / "state" / "a.txt").samefile(first)
    for file in (first, stage / "model"):
        file.unlink()
    stage.rmdir()
    finished.bring_back(tmp_path / "state", [first, stage], OURS)
    assert (first.read_text(), (stage / "model").read_text()) == ("a", "weights")
    first.unlink()
    first.write_text("newer")
    finished.bring_back(tmp_path / "state", [first, stage], OURS)
    assert first.read_text() == "newer"


def test_what_other_code_has_made_is_made_anew(tmp_path, monkeypatch):
    first, stage = done(tmp_path)
    first.unlink()
    monkeypatch.setattr("simmim.storage.finished.code_digest", lambda: "newer")
    finished.bring_back(tmp_path / "state", [first, stage], OURS)
    assert not first.exists() and not (tmp_path / "state").exists()


def test_the_repository_around_an_environment_is_not_our_code(tmp_path, monkeypatch):
    """A package that pip has installed into .venv there would be said to be of that repository's commit."""
    package = tmp_path / ".venv" / "simmim"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    git = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@b"]
    monkeypatch.setattr(identity, "_PACKAGE", package)
    monkeypatch.setattr(identity, "code_digest", lambda: "d19e57")
    for command in (["init", "-q"], ["commit", "-q", "--allow-empty", "-m", "theirs"]):
        subprocess.run([*git, *command], check=True)
    assert identity.code_version.__wrapped__() == "no-git+d19e57"
    subprocess.run([*git, "add", "-f", str(package)], check=True)
    head = subprocess.run([*git, "rev-parse", "--short=10", "HEAD"], capture_output=True, text=True, check=True).stdout
    assert identity.code_version.__wrapped__() == f"{head.strip()}+d19e57"


def test_a_commit_of_other_files_or_a_node_without_git_costs_nothing(tmp_path, monkeypatch):
    before = identity.code_version()
    first, stage = done(tmp_path)
    first.unlink()
    monkeypatch.setattr(identity.subprocess, "run", lambda *_, **__: SimpleNamespace(returncode=0, stdout="newer\n"))
    identity.code_version.cache_clear()
    try:
        assert identity.code_version() == f"newer+{identity.code_digest()}" != before
        finished.bring_back(tmp_path / "state", [first, stage], OURS)
    finally:
        identity.code_version.cache_clear()
    assert first.read_text() == "a"


@pytest.mark.parametrize(
    "other",
    [{"config": {"epochs": 800}}, {"seed": 1}, {"data_digests": {"train": "f01d"}}, {"made_from": {}}],
    ids=lambda other: next(iter(other)),
)
def test_what_belongs_to_something_else_is_made_anew(tmp_path, other):
    """Refused and removed, it would come back and be refused again, for ever."""
    first, stage = done(tmp_path)
    first.unlink()
    finished.bring_back(tmp_path / "state", [first, stage], replace(OURS, **other))
    assert not first.exists() and not (tmp_path / "state").exists()


def test_what_an_earlier_version_has_left_is_made_anew(tmp_path):
    """It noted a commit, and nothing of what the outputs belong to."""
    first, stage = done(tmp_path)
    first.unlink()
    note = tmp_path / "state" / "finished.json"
    write_sealed(note, {"code_version": "0f3a+5e7d", "sha256": read_sealed(note)["sha256"]})
    finished.bring_back(tmp_path / "state", [first, stage], OURS)
    assert not first.exists() and not (tmp_path / "state").exists()


def test_a_folder_without_one_of_its_files_comes_back_whole(tmp_path):
    first, stage = done(tmp_path)
    (stage / "manifest").write_text("of weights")
    finished.keep(tmp_path / "state", [first, stage], OURS)
    (stage / "manifest").unlink()  # all that Snakemake knows of it
    finished.bring_back(tmp_path / "state", [first, stage], OURS)
    assert [(stage / name).read_text() for name in ("model", "manifest")] == ["weights", "of weights"]


def test_unfinished_work_is_left_alone(tmp_path):
    (tmp_path / "state" / "step-1").mkdir(parents=True)
    finished.bring_back(tmp_path / "state", [tmp_path / "a.txt"], OURS)
    assert (tmp_path / "state" / "step-1").exists() and finished.states(tmp_path) == []


def test_where_links_cannot_be_had_files_are_copied(tmp_path, monkeypatch):
    def refused(*arguments):
        raise OSError("no links here")

    monkeypatch.setattr("simmim.storage.finished.os.link", refused)
    first, _ = done(tmp_path)
    assert (tmp_path / "state" / "a.txt").read_text() == "a" and not (tmp_path / "state" / "a.txt").samefile(first)


def test_outputs_that_rotted_in_the_state_are_made_again(tmp_path, capsys):
    first, stage = done(tmp_path)
    (stage / "model").unlink()
    stage.rmdir()
    (tmp_path / "state" / "stage" / "model").write_text("wights")
    finished.bring_back(tmp_path / "state", [first, stage], OURS)
    assert not stage.exists() and not (tmp_path / "state").exists() and first.exists()
    assert capsys.readouterr().out == f"{tmp_path / 'state' / 'stage'} is damaged; it is made again\n"


def test_other_outputs_take_the_place_of_those_that_were_kept(tmp_path):
    first, _ = done(tmp_path)
    first.unlink()
    first.write_text("newer")
    finished.keep(tmp_path / "state", [first], OURS)
    assert sorted(path.name for path in (tmp_path / "state").iterdir()) == ["a.txt", "finished.json"]
    assert (tmp_path / "state" / "a.txt").samefile(first)


def test_links_are_made_under_no_note_but_their_own(tmp_path, monkeypatch):
    """That of earlier outputs would vouch for half of the new ones."""
    first, stage = done(tmp_path)
    monkeypatch.setattr(finished, "link", lambda *_: notes.append((tmp_path / "state" / "finished.json").exists()))
    notes = []
    finished.keep(tmp_path / "state", [first, stage], OURS)
    assert notes == [False, False]


def test_the_states_of_some_outputs_are_those_of_the_jobs_that_made_them(tmp_path):
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
    (first, _), _ = done(tmp_path / "one"), done(tmp_path / "other")
    assert finished.states(tmp_path) == [tmp_path / "one" / "state", tmp_path / "other" / "state"]
    assert finished.states(tmp_path, [first]) == [tmp_path / "one" / "state"]
    assert finished.states(tmp_path, [tmp_path / "other" / "stage" / "model"]) == [tmp_path / "other" / "state"]
    assert finished.states(tmp_path, [tmp_path / "one" / "b.txt"]) == []


def test_the_state_of_an_evaluation_is_called_as_its_outputs(tmp_path):
    seed = tmp_path / "knn.state" / "seed0.parquet"
    seed.parent.mkdir()
    seed.write_text("a seed")
    finished.keep(seed.parent, [seed], OURS)
    assert finished.states(tmp_path, [tmp_path / "knn.parquet"]) == [seed.parent]
    assert finished.states(tmp_path, [tmp_path / "knn.encoders"]) == [seed.parent]
    assert finished.states(tmp_path, [tmp_path / "probe.parquet"]) == []
