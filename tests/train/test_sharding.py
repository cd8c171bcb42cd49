"""Sharded training: two processes equal one, and any number of processes goes on from any checkpoint."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import nn
from torch.utils.data import Dataset

from simmim.config.training import TrainSettings
from simmim.methods.simmim import build_simmim
from simmim.rng import KeyedGenerator
from simmim.train.guard import NonFiniteLoss
from simmim.train.loop import fit
from simmim.train.parameter_groups import parameter_groups
from simmim.train.processes import Processes
from simmim.train.sharding import clip_gradients

HERE = Path(__file__).parent
ALONE = Processes(0, 1, torch.device("cpu"))
SECTIONS = {
    "encoder": {
        "name": "swin_v2", "embed_dim": 12, "depths": [1, 2], "num_heads": [1, 3], "window": 4, "main_norm_every": 2,
        "checkpoint_activations": True,
    },
    "head": {"name": "linear"}, "target": {"name": "pixels"}, "loss": {"name": "l1"},
}  # fmt: skip
SETTINGS = {
    "epochs": 3, "warmup_epochs": 1, "batch": 8, "micro_batch": 2, "base_lr": 1e-3, "base_lr_batch": 8,
    "clip_norm": 0.5, "precision": "fp32", "log_every_steps": 2, "save_every_steps": 4,
}  # fmt: skip


class Noise(Dataset):
    """40 images of noise and masks drawn per (epoch, sample); `spoilt` is NaN."""

    def __init__(self, spoilt=None):
        self._spoilt = spoilt

    def __len__(self):
        return 40

    def __getitems__(self, keys):
        epochs, samples = np.array(keys).T
        draws = KeyedGenerator(0, epochs, samples, "noise").uniform(3 * 32 * 32 + 16).astype(np.float32)
        images = torch.from_numpy(draws[:, 16:]).view(-1, 3, 32, 32)
        images[torch.from_numpy(samples == self._spoilt)] = float("nan")
        cells = torch.from_numpy(draws[:, :16] < 0.6).view(-1, 4, 4)
        return {"images": images, "hidden": cells.repeat_interleave(2, 1).repeat_interleave(2, 2)}


class Task(nn.Module):
    """SimMIM, with a frozen parameter and a buffer that training changes."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.model = build_simmim(**SECTIONS, image_px=(32, 32), masked_patch_px=8)
        self.model.encoder.norm.bias.requires_grad_(False)
        self.register_buffer("batches", torch.zeros(()))

    def forward(self, batch):
        self.batches += 1
        return self.model(batch["images"], batch["hidden"])


def train(state, processes=ALONE, dataset=None, **changes):
    """Final weights and history of a training, going on from a checkpoint in `state`."""
    task, settings = Task(), TrainSettings(**(SETTINGS | changes))
    groups = parameter_groups(task, "model.encoder.", 0.05, 0.9, {"mask_token"})
    history = fit(
        task, dataset or Noise(), groups, settings, seed=0, state=state, config={}, processes=processes, label="test"
    )
    return task.state_dict(), history


def keep(path, state, history):
    rows = [{key: row[key] for key in ("step", "lr", "loss", "grad_norm")} for row in history]
    save_file(state, path, {"history": json.dumps(rows)})


def _history(path):
    with safe_open(path, framework="pt") as file:
        return json.loads(file.metadata()["history"])


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Everything that two processes do, in one start of them; `one` is what a single process does."""
    out = tmp_path_factory.mktemp("runs")
    keep(out / "one.safetensors", *train(out / "one"))
    keep(out / "one_bf16.safetensors", *train(out / "one_bf16", precision="bf16", epochs=1))
    _until(8, out / "one", out / "from_one")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    done = subprocess.run(
        [*command, HERE / "sharded_processes.py", out], timeout=240, capture_output=True, text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-4000:]
    return out


def _until(step, source, target):
    """A state folder with the checkpoint of one step only."""
    shutil.copytree(source / f"step-{step:08d}", target / f"step-{step:08d}")


def _assert_close(path, other):
    """Two trainings that float32's rounding alone keeps apart (6e-8 of a value, over sums of some thousand terms).

    Their first log rows agree to 1e-5. Later an l1 error near zero changes sign in one of them, which reverses that
    pixel's gradient, at other steps on another CPU; then the ends differ by a small share of the way from the start.
    """
    start, one, two = Task().state_dict(), load_file(path), load_file(other)
    assert one.keys() == two.keys()
    for name in one.keys() - {"batches"}:
        assert (one[name] - two[name]).norm() <= 0.05 * (one[name] - start[name]).norm(), name
    for row, logged in zip(_history(path), _history(other), strict=True):
        assert logged == pytest.approx(row, rel=1e-5 if row["step"] <= 4 else 1e-2)


def test_two_processes_equal_one(runs):
    start, end = Task().state_dict(), load_file(runs / "one.safetensors")
    assert sum((start[name] - end[name]).abs().max() > 1e-3 for name in start) > 30  # they did train
    _assert_close(runs / "one.safetensors", runs / "sharded.safetensors")
    assert end["batches"] == 60 and load_file(runs / "sharded.safetensors")["batches"] == 30  # buffers come back too


def test_resumed_by_as_many_processes_it_ends_with_the_same_bits(runs):
    expected, resumed = load_file(runs / "sharded.safetensors"), load_file(runs / "resumed.safetensors")
    assert all(torch.equal(resumed[name], expected[name]) for name in expected)
    assert _history(runs / "resumed.safetensors") == _history(runs / "sharded.safetensors")


def test_goes_on_from_the_checkpoint_of_one_process(runs):
    _assert_close(runs / "one.safetensors", runs / "from_one.safetensors")


def test_one_process_goes_on_from_a_sharded_checkpoint(runs, tmp_path):
    _until(8, runs / "sharded", tmp_path / "state")
    keep(tmp_path / "resumed.safetensors", *train(tmp_path / "state"))
    _assert_close(runs / "one.safetensors", tmp_path / "resumed.safetensors")


@pytest.mark.parametrize("file", ["model.safetensors", "optimizer.safetensors"])
def test_checkpoints_look_like_those_of_one_process(runs, file):
    one, two = (load_file(runs / name / "step-00000008" / file) for name in ("one", "sharded"))
    assert {name: value.shape for name, value in one.items()} == {name: value.shape for name, value in two.items()}


def test_lower_precision_stays_close(runs):
    logged = [[row["loss"] for row in _history(runs / f"{name}.safetensors")] for name in ("one_bf16", "sharded_bf16")]
    assert logged[1] == pytest.approx(logged[0], rel=1e-3)


def test_each_process_holds_its_part_only(runs):
    held = json.loads((runs / "held.json").read_text())
    assert held["parameters"] < 0.55 * held["all"] and held["moments"] < 0.55 * 2 * held["all"]
    assert held["blocks"] == 3


def test_gradients_are_clipped_to_the_norm_over_all_processes(runs):
    held = json.loads((runs / "held.json").read_text())
    task = Task()
    task(Noise().__getitems__([(0, 1), (0, 2)])).backward()
    norms = [clip_gradients(task.parameters(), 1e-3).item() for _ in range(2)]
    assert norms[0] > 0.1 and norms[1] == pytest.approx(1e-3, rel=1e-3)
    assert held["norms"] == pytest.approx(norms, rel=1e-4)


def test_a_spoilt_sample_stops_both(runs, tmp_path):
    with pytest.raises(NonFiniteLoss) as stopped:
        train(tmp_path, dataset=Noise(spoilt=17))
    step = json.loads((tmp_path / "nonfinite.json").read_text())["step"]
    assert f"step {step} is not finite" in str(stopped.value)
    assert json.loads((runs / "spoilt" / "nonfinite.json").read_text())["step"] == step
    assert json.loads((runs / "held.json").read_text())["skipped"]


def test_alone_there_is_nothing_to_share(tmp_path):
    state, _ = train(tmp_path / "sharded", sharded=True, epochs=1)
    expected, _ = train(tmp_path / "plain", epochs=1)
    assert all(torch.equal(state[name], expected[name]) for name in expected)
