"""An extraction of features that was stopped goes on where it was, to the same bytes."""

import json
import os
import shutil
import signal
import subprocess
import sys

import pytest
from evaluations import ALONE, made_encoder, made_sets, small

from simmim import stopping
from simmim.config.evaluation import features_config
from simmim.data.shards import Shards
from simmim.evaluate import features
from simmim.evaluate.features import write_features
from simmim.evaluate.stored_features import identity_of, is_complete
from simmim.storage.sealed_json import write_sealed


@pytest.fixture
def job(tmp_path):
    data = made_sets(tmp_path / "data", sizes=(("train", 16, 0), ("val", 8, 0)))
    config = features_config(small("knn")).model_copy(update={"score_batch": 4})
    return config, made_encoder(tmp_path / "encoder.safetensors"), data


def stopped_after(monkeypatch, batches):
    """Extraction that is asked to stop while it computes."""
    real, seen = features._features_of, []

    def watched(*arguments):
        seen.append(len(arguments[-1]))
        if len(seen) == batches:
            os.kill(os.getpid(), signal.SIGTERM)
        return real(*arguments)

    monkeypatch.setattr(features, "_features_of", watched)
    return seen


def content(folder):
    return {file.relative_to(folder): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


@pytest.mark.parametrize("batches, left, said", [(2, 16, "8 of 16 images of train"), (5, 4, "4 of 8 images of val")])
def test_it_goes_on_to_the_same_bytes(tmp_path, job, monkeypatch, batches, left, said):
    write_features(*job, tmp_path / "whole", ALONE)
    with monkeypatch.context() as patch, stopping.heeded():
        stopped_after(patch, batches)
        with pytest.raises(stopping.Stopped, match=f"got SIGTERM; {said} are extracted"):
            write_features(*job, tmp_path / "cut", ALONE)
    assert not (tmp_path / "cut").exists()
    seen = stopped_after(monkeypatch, 99)
    write_features(*job, tmp_path / "cut", ALONE)
    assert sum(seen) == left
    assert content(tmp_path / "cut") == content(tmp_path / "whole") and not (tmp_path / ".cut.part").exists()
    digests = {split: Shards(folder).digest for split, folder in job[2].items()}
    assert is_complete(tmp_path / "cut", identity_of(job[0], digests, job[1]))


def test_what_belongs_to_another_encoder_is_made_anew(tmp_path, job, monkeypatch):
    config, encoder, data = job
    with monkeypatch.context() as patch, stopping.heeded():
        stopped_after(patch, 2)
        with pytest.raises(stopping.Stopped):
            write_features(config, encoder, data, tmp_path / "out", ALONE)
    other = made_encoder(tmp_path / "other.safetensors", seed=1)
    seen = stopped_after(monkeypatch, 99)
    write_features(config, other, data, tmp_path / "out", ALONE)
    assert sum(seen) == 24
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["made_from"] == identity_of(config, dict.fromkeys(data, ""), other).made_from


@pytest.mark.parametrize("split, kept_bytes", [("train", 0), ("train", 100), ("val", -1)])
def test_an_array_that_is_not_whole_is_made_anew(tmp_path, job, monkeypatch, split, kept_bytes):
    write_features(*job, tmp_path / "whole", ALONE)
    with monkeypatch.context() as patch, stopping.heeded():
        stopped_after(patch, 2)
        with pytest.raises(stopping.Stopped):
            write_features(*job, tmp_path / "cut", ALONE)
    array = tmp_path / ".cut.part" / split / "block_02.npy"
    array.write_bytes(array.read_bytes()[:kept_bytes])
    seen = stopped_after(monkeypatch, 99)
    write_features(*job, tmp_path / "cut", ALONE)
    assert sum(seen) == 24
    assert content(tmp_path / "cut") == content(tmp_path / "whole")


def test_notes_that_an_older_extraction_left_skip_nothing(tmp_path, job, monkeypatch):
    """A network disk may hold on to files of a folder that is removed."""
    write_features(*job, tmp_path / "whole", ALONE)
    note = tmp_path / ".cut.part" / "train" / "done_0.json"
    write_sealed(note, {"rows": 12})
    monkeypatch.setattr(features.shutil, "rmtree", lambda folder, ignore_errors: None)
    write_features(*job, tmp_path / "cut", ALONE)
    assert content(tmp_path / "cut") == content(tmp_path / "whole")


def test_arrays_that_have_no_room_are_refused_before_anything_is_computed(tmp_path):
    """On a real full disk: a write to a map of a file with holes would end the process with a signal."""
    reserve = "import sys, pathlib; from simmim.evaluate.features import _reserve"
    reserve += "; _reserve(pathlib.Path(sys.argv[1], 'block_01.npy'), (2000, 100))"
    command = f'mount -t tmpfs -o size=200k none {tmp_path} && echo mounted && "$@"'
    inside = ["unshare", "--map-root-user", "--mount", "sh", "-c", command, "sh"]
    if shutil.which("unshare") is None or subprocess.run([*inside, "true"], capture_output=True).returncode:
        pytest.skip("this user may not mount a small disk")
    ended = subprocess.run([*inside, sys.executable, "-c", reserve, tmp_path], capture_output=True, text=True)
    assert ended.stdout == "mounted\n" and ended.returncode == 1
    assert f"No space left on device: '{tmp_path}/block_01.npy'" in ended.stderr
