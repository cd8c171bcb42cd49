"""Whole evaluations on a pretended GPU: their tensors lie together, and it is known where the host waits."""

import functools
import sys
from pathlib import Path
from unittest import mock

import pytest
import torch
from helpers.pretended_gpu import GPU, pretended_gpu

from simmim.evaluate.job import evaluate
from simmim.train import reading
from simmim.train.arithmetic import SWITCH, fixed
from simmim.train.processes import Processes

sys.path.append(str(Path(__file__).parents[1] / "evaluate"))

from evaluations import SMALL, extracted, made_for_every_task, small

ON_GPU = Processes(0, 1, GPU)
SHORT = {"epochs": 1, "warmup_epochs": 0, "batch": 2, "precision": "bf16", "log_every_steps": 2, "save_every_steps": 2}
# Where an evaluation may wait: to begin and to end a training, and for the numbers of a score.
TRAINING = {
    "simmim/train/loop.py:_spread copy",
    "simmim/train/checkpoint.py:<dictcomp> copy",
    "simmim/train/guard.py:check aten::_local_scalar_dense",
    "simmim/train/log.py:write_row copy",
    "simmim/train/speed.py:_seconds aten::_local_scalar_dense",  # the peak of a card that is not listed, once
}
FEATURES = {"simmim/evaluate/features.py:write_features copy", "simmim/evaluate/features.py:_extract copy"}
SCORE = {
    "finetune": {"simmim/evaluate/classification_task.py:score tolist", "simmim/storage/model_file.py:<dictcomp> copy"},
    "attentive": {"simmim/evaluate/classification_task.py:score tolist"},
    "linear_probe": {
        "simmim/evaluate/linear_probe/probe.py:accuracies copy",
        "simmim/evaluate/linear_probe/probe.py:accuracies tolist",
        *FEATURES,
    },
    "knn": {
        "simmim/evaluate/knn/vote.py:accuracy copy",
        "simmim/evaluate/knn/vote.py:accuracy aten::_local_scalar_dense",
        "simmim/evaluate/knn/vote.py:_nearest copy",
        *FEATURES,
    },
    "mechanism": {"simmim/evaluate/mechanism/task.py:score copy", "simmim/evaluate/mechanism/observer.py:rows copy"},
    "segment": {f"simmim/evaluate/segment/task.py:{where} copy" for where in ("_predicted", "score")},
    "detect": {"simmim/evaluate/detect/detector.py:<dictcomp> copy"},  # and within torchvision's proposals and heads
}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return made_for_every_task(tmp_path_factory.mktemp("tasks"), ("train", 4, 0), ("val", 3, 50))


@pytest.fixture(scope="module")
def gpu_after(made, tmp_path_factory):
    """Name of an evaluation -> what a pretended GPU had to say of it; each runs once."""
    return functools.cache(lambda name: run(name, made, tmp_path_factory.mktemp(name)))


def run(name, made, out):
    """What a pretended GPU had to say of an evaluation, its frozen features included."""
    encoder, sets = made
    training = SMALL[name][1]
    config, data = small(name, train=training and training | SHORT), sets.get(name, sets[""])
    with pretended_gpu() as gpu, mock.patch.object(reading, "spare_cores", lambda: 0):
        features = extracted(config, [encoder], data, out, ON_GPU)
        evaluate(config, [encoder], data, out / "records.parquet", ON_GPU, features)
    return gpu


@pytest.mark.filterwarnings("ignore:'pin_memory' argument:UserWarning")
class TestEvaluation:
    @pytest.mark.parametrize("name", SMALL)
    def test_it_waits_where_it_must_only(self, name, gpu_after):
        gpu = gpu_after(name)
        assert not gpu.mixed
        own = {place for place in gpu.waits if not place.startswith("torchvision/")}
        assert own <= TRAINING | SCORE[name]
        assert (own == {*gpu.waits}) == (name != "detect")
        if SMALL[name][1]:
            assert gpu.waits["simmim/train/guard.py:check aten::_local_scalar_dense"] == 1

    def test_every_block_of_frozen_features_comes_in_one_copy(self, gpu_after):
        copies = gpu_after("knn").waits["simmim/evaluate/features.py:_extract copy"]
        assert copies == 2 + 1, "four training images in parts of three, three to score: a copy a part"

    def test_masks_are_pasted_without_waiting_for_each(self, gpu_after):
        waits = gpu_after("detect").waits
        assert waits["simmim/evaluate/detect/detector.py:<dictcomp> copy"] == 3 * 4, "of an image four results"
        assert not any("paste" in place for place in waits)

    def test_what_has_no_deterministic_form_is_refused_in_a_sentence(self, made, tmp_path, monkeypatch):
        monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        monkeypatch.setenv(SWITCH, "1")
        with pytest.raises(ValueError, match="cannot be kept here: aten::nll_loss2d_forward has no"), fixed():
            run("segment", made, tmp_path / "segment")
        with fixed():
            run("finetune", made, tmp_path / "finetune")
        assert not torch.are_deterministic_algorithms_enabled()
