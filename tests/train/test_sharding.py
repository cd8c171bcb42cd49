"""Sharded training: two processes equal one, and any number of processes goes on from any checkpoint."""

import json
import shutil
from unittest import mock

import numpy as np
import pytest
import torch
from agreement import FEW_STEPS, assert_two_steps_agree, checkpoint_of
from helpers.pretraining import built_simmim
from official import masked_loss
from safetensors.torch import load_file
from torch.utils.data import Dataset

from simmim.config.training import TrainSettings
from simmim.rng import KeyedGenerator
from simmim.storage.identity import Identity
from simmim.train import checkpoint
from simmim.train.guard import NonFiniteLoss
from simmim.train.loop import Run, fit
from simmim.train.parameter_groups import parameter_groups
from simmim.train.processes import Processes
from simmim.train.sharding import clip_gradients
from simmim.train.task import TrainTask

ALONE = Processes(0, 1, torch.device("cpu"))
SECTIONS = {
    "encoder": {
        "name": "swin_v2",
        "embed_dim": 12,
        "depths": [1, 2],
        "num_heads": [1, 3],
        "window": 4,
        "main_norm_every": 2,
        "checkpoint_activations": True,
    },
    "head": {"name": "linear"},
    "target": {"name": "pixels"},
    "loss": {"name": "l1"},
}
SETTINGS = FEW_STEPS | {
    "batch": 8,
    "micro_batch": 2,
    "base_lr_batch": 8,
    "clip_norm": 0.5,
    "precision": "fp32",
}


class Noise(Dataset):
    """40 images of noise and masks drawn per (epoch, sample); `spoilt` is NaN."""

    def __init__(self, spoilt=None):
        self._spoilt = spoilt

    def __len__(self):
        return 40

    @property
    def sample_ids(self):
        return [f"image {index}" for index in range(40)]

    def __getitems__(self, keys):
        epochs, samples = np.array(keys).T
        draws = KeyedGenerator(0, epochs, samples, "noise").uniform(3 * 32 * 32 + 16).astype(np.float32)
        images = torch.from_numpy(draws[:, 16:]).view(-1, 3, 32, 32)
        images[torch.from_numpy(samples == self._spoilt)] = float("nan")
        cells = torch.from_numpy(draws[:, :16] < 0.6).view(-1, 4, 4)
        return {"images": images, "hidden": cells.repeat_interleave(2, 1).repeat_interleave(2, 2)}


class Task(TrainTask):
    """SimMIM, with a frozen parameter and a buffer that training changes."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.model = built_simmim(**SECTIONS, geometry={"image_px": 32, "masked_patch_px": 8})
        self.model.encoder.norm.bias.requires_grad_(False)
        self.register_buffer("batches", torch.zeros(()))

    def forward(self, batch):
        self.batches += 1
        return masked_loss(self.model, batch["images"], batch["hidden"])


def train(state, processes=ALONE, dataset=None, **changes):
    """Final weights and log of a training, going on from a checkpoint in `state`."""
    task, settings = Task(), TrainSettings(**(SETTINGS | changes))
    groups = parameter_groups(task, "model.encoder.", 0.05, 0.9, {"mask_token"})
    with mock.patch.object(checkpoint, "KEPT", 3):
        done = fit(task, dataset or Noise(), groups, settings, Run(Identity({}, 0), state, "test"), processes)
    return task.state_dict(), done.history


def logged(path):
    """Rows of a log without its times."""
    return [{key: row[key] for key in ("step", "lr", "loss", "grad_norm")} for row in json.loads(path.read_text())]


@pytest.fixture(scope="module")
def one(tmp_path_factory):
    """What a single process does: folder of its state, its weights and its log."""
    out = tmp_path_factory.mktemp("one")
    return out, *train(out)


def test_two_processes_equal_one(together, one):
    folder, end, history = one
    start = Task().state_dict()
    assert sum((start[name] - end[name]).abs().max() > 5e-4 for name in start) > 30  # they did train
    assert_two_steps_agree(folder, together / "sharded")
    for row, other in zip(history[:2], logged(together / "sharded.json")):
        assert other == pytest.approx({key: row[key] for key in other}, rel=1e-5)
    assert end["batches"] == 12 and load_file(together / "sharded.safetensors")["batches"] == 6  # buffers come back


def test_resumed_by_as_many_processes_it_ends_with_the_same_bits(together):
    expected, resumed = (load_file(together / f"{name}.safetensors") for name in ("sharded", "resumed"))
    assert all(torch.equal(resumed[name], expected[name]) for name in expected)
    assert logged(together / "resumed.json") == logged(together / "sharded.json")


def test_goes_on_from_the_checkpoint_of_one_process(together, one):
    assert_two_steps_agree(one[0], together / "from_one")


def test_one_process_goes_on_from_a_sharded_checkpoint(together, one, tmp_path):
    shutil.copytree(together / "sharded" / "step-00000001", tmp_path / "step-00000001")
    train(tmp_path)
    assert_two_steps_agree(one[0], tmp_path)


def test_each_process_writes_its_parts(together):
    path = together / "sharded" / "step-00000002"
    sizes = [sum(part.nbytes for part in load_file(file).values()) for file in path.glob("*.safetensors")]
    whole = sum(value.nbytes for tensors in checkpoint_of(path) for value in tensors.values())
    assert len(sizes) == 2 and max(sizes) < 0.6 * whole and sum(sizes) == whole
    assert set(checkpoint.verified_manifest(path)["sha256"]) == {file.name for file in path.glob("*.safetensors")}


def test_a_sharded_checkpoint_of_another_model_is_refused(together):
    other = torch.nn.Linear(2, 2)
    with pytest.raises(ValueError, match=r"does not hold this model and its optimiser: \['model/b"):
        checkpoint.restore(
            together / "sharded" / "step-00000002", other, torch.optim.AdamW(other.parameters(), fused=True)
        )


def test_lower_precision_stays_close_to_that_of_one_process(together, tmp_path):
    """Blocks are gathered in bfloat16: their norms and the scale of their attention are rounded to 8 bits.

    Measured: 6e-4 apart at most in ten steps. Updates of weights whose gradient is rounding error, 1e-3 each, may add.
    """
    _, history = train(tmp_path, precision="bf16", epochs=2)
    losses, alone = [row["loss"] for row in logged(together / "bf16.json")], [row["loss"] for row in history]
    assert len(losses) == 10 and alone[-1] < 0.8 * alone[0]  # it has learnt
    assert losses[0] == pytest.approx(alone[0], rel=1e-3)
    assert losses == pytest.approx(alone, rel=1e-2)
    assert losses[0] != json.loads((together / "sharded.json").read_text())[0]["loss"]  # it is rounded


def test_blocks_are_gathered_in_the_number_format_of_the_training(together):
    held = json.loads((together / "held.json").read_text())
    assert held["gathered"] == {"layers.0.blocks.0": "torch.bfloat16", "patch_embed": "torch.float32"}
    assert held["kept"] == ["torch.float32"], "weights and gradients"


def test_each_process_holds_its_part_only(together):
    held = json.loads((together / "held.json").read_text())
    assert held["parameters"] < 0.55 * held["all"] and held["moments"] < 0.55 * 2 * held["all"]
    assert held["blocks"] == 3


def test_gradients_are_clipped_to_the_norm_over_all_processes(together):
    held = json.loads((together / "held.json").read_text())
    task = Task()
    task(Noise().__getitems__([(0, 1), (0, 2)])).backward()
    norms = [clip_gradients(task.parameters(), 1e-3).item() for _ in range(2)]
    assert norms[0] > 0.1 and norms[1] == pytest.approx(1e-3, rel=1e-3)
    assert held["norms"] == pytest.approx(norms, rel=1e-4)


def test_a_spoilt_sample_stops_both(together, tmp_path):
    with pytest.raises(NonFiniteLoss) as stopped:
        train(tmp_path, dataset=Noise(spoilt=17), epochs=1)
    report = json.loads((tmp_path / "nonfinite.json").read_text())
    assert f"step {report['step']} is not finite" in str(stopped.value) and "image 17" in report["samples"]
    assert json.loads((together / "spoilt" / "nonfinite.json").read_text()) == report
    assert json.loads((together / "held.json").read_text())["skipped"]


def test_alone_there_is_nothing_to_share(tmp_path):
    state, _ = train(tmp_path / "sharded", sharded=True)
    expected, _ = train(tmp_path / "plain")
    assert all(torch.equal(state[name], expected[name]) for name in expected)
