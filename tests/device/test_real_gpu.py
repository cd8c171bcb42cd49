"""The project's own verbs on a real card; `SIMMIM_TEST_DEVICE=cpu` rehearses the same on the CPU.

They skip aloud where torch has no card. What a rehearsal cannot show: that no step waits (a CPU has no queue).
"""

import sys
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from helpers.pretraining import ALONE, packed, pretrain_config
from safetensors.torch import load_file
from test_gpu_pretraining import ENCODERS, TRAIN
from torch._dynamo.utils import counters

from simmim.__main__ import main
from simmim.evaluate.classifier_training import ClassifierTraining
from simmim.methods.simmim import SimMIM
from simmim.pretraining.run import pretrain
from simmim.storage import records
from simmim.train import arithmetic

sys.path.append(str(Path(__file__).parents[1] / "evaluate"))

from evaluations import SMALL, evaluated, made_encoder, made_sets, small

EIGHT = {"epochs": 4, "batch": 8, "micro_batch": 4, "log_every_steps": 2, "save_every_steps": 4}
ON_DEVICE = {"mean": [0.5] * 3, "std": [0.25] * 3, "crop_on": "device"}
DROPS = {name: {"encoder": sections["encoder"] | {"drop_path": 0.2}} for name, sections in ENCODERS.items()}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return packed(tmp_path_factory.mktemp("stripes"))


def losses_of(folder, metric="loss"):
    rows = records.read([folder / "train.parquet"])
    return rows[rows["metric"] == metric].sort_values("step")["value"].tolist()


def trained(config, data, out, processes):
    """Losses and weights of a pre-training."""
    pretrain(config, 0, data, out, processes)
    return losses_of(out), load_file(out / "encoder.safetensors")


def stopping_at(number):
    """An `after_update` that ends the process's work in the middle of a training, as a signal does."""

    def after_update(self, step, steps):
        if step == number:
            raise KeyboardInterrupt

    return after_update


def cut_and_resumed(config, data, out, processes, monkeypatch):
    """The same of one that is interrupted after six of eight updates, and goes on from the fourth."""
    with monkeypatch.context() as patch:
        patch.setattr(SimMIM, "after_update", stopping_at(6), raising=False)
        with pytest.raises(KeyboardInterrupt):
            pretrain(config, 0, data, out, processes)
    assert [path.name for path in (out / "state").glob("step-*")] == ["step-00000004"]
    return trained(config, data, out, processes)


@pytest.fixture
def same_bits(device, monkeypatch):
    """Jobs under SIMMIM_DETERMINISTIC=1."""
    monkeypatch.setenv(arithmetic.SWITCH, "1")
    with arithmetic.fixed():
        yield


@pytest.mark.parametrize("name", ENCODERS)
def test_an_interrupted_pretraining_ends_with_the_same_bits(name, alone, same_bits, data, tmp_path, monkeypatch):
    config = pretrain_config(**ENCODERS[name] | DROPS[name], train=EIGHT | {"precision": "bf16", "clip_norm": 1.0})
    losses, weights = trained(config, data, tmp_path / "whole", alone)
    again, theirs = cut_and_resumed(config, data, tmp_path / "cut", alone, monkeypatch)
    assert len(losses) == 4 and again == losses
    assert all(torch.equal(theirs[key], value) for key, value in weights.items())
    environment = records.metadata(tmp_path / "whole" / "train.parquet")["environment"]
    assert environment["deterministic"] and environment["precision"] == "bf16"


@pytest.mark.parametrize("name", ENCODERS)
def test_without_the_switch_it_stays_near(name, alone, data, tmp_path, monkeypatch):
    """Atomic additions come in any order: 1e-7 of a gradient, which eight updates of AdamW make larger."""
    config = pretrain_config(**ENCODERS[name] | DROPS[name], train=EIGHT)
    losses, _ = trained(config, data, tmp_path / "whole", alone)
    again, _ = cut_and_resumed(config, data, tmp_path / "cut", alone, monkeypatch)
    assert again == pytest.approx(losses, rel=5e-3)


@pytest.fixture(scope="module")
def labelled(tmp_path_factory):
    folder = tmp_path_factory.mktemp("labelled")
    return made_encoder(folder / "encoder.safetensors"), made_sets(folder)


def fine_tuned(labelled, out, processes):
    """Losses, scores and weights of a fine-tuning."""
    encoder, sets = labelled
    config = small("finetune", train=SMALL["finetune"][1] | {"save_every_steps": 4, "precision": "bf16"})
    rows, _ = evaluated(config, [encoder], sets, out / "a.parquet", processes)
    losses, scores = (rows[rows["metric"] == metric]["value"].tolist() for metric in ("train_loss", "top1"))
    return losses, scores, load_file(out / "a.encoders" / "seed0.safetensors")


def test_an_interrupted_fine_tuning_ends_with_the_same_bits(alone, same_bits, labelled, tmp_path, monkeypatch):
    losses, scores, weights = fine_tuned(labelled, tmp_path / "whole", alone)
    with monkeypatch.context() as patch:
        patch.setattr(ClassifierTraining, "after_update", stopping_at(6))
        with pytest.raises(KeyboardInterrupt):
            fine_tuned(labelled, tmp_path / "cut", alone)
    assert [path.name for path in tmp_path.glob("cut/a.state/**/step-*")] == ["step-00000004"]
    again, their_scores, theirs = fine_tuned(labelled, tmp_path / "cut", alone)
    assert len(losses) == 10 and (again, their_scores) == (losses, scores)
    assert all(torch.equal(theirs[key], value) for key, value in weights.items())


@pytest.mark.parametrize("name", ENCODERS)
def test_losses_in_bfloat16_are_near_those_of_the_cpu_in_float32(name, alone, data, tmp_path):
    """Eight updates; under the autocast of a CPU bfloat16 moves the loss of these networks by 2e-3 at most."""
    sections = ENCODERS[name] | {"encoder": ENCODERS[name]["encoder"] | {"drop_path": 0.0}}
    fast = pretrain_config(**sections, train=EIGHT | {"precision": "bf16"})
    losses, _ = trained(fast, data, tmp_path / "device", alone)
    expected, _ = trained(pretrain_config(**sections, train=EIGHT), data, tmp_path / "cpu", ALONE)
    assert losses == pytest.approx(expected, rel=1e-2) and losses != expected


def test_a_training_takes_crops_of_the_device(alone, data, tmp_path):
    found, _ = trained(pretrain_config(images=ON_DEVICE), data, tmp_path / "device", alone)
    expected, _ = trained(pretrain_config(), data, tmp_path / "host", alone)
    assert found == pytest.approx(expected, rel=2e-2) and found != expected


@contextmanager
def waits_are_errors(device, monkeypatch, first=2):
    """Between the second update and the last but one, whatever makes the host wait for the card is an error."""

    def after_update(self, step, steps):
        if step in (first, steps - 1) and device.type == "cuda":
            torch.cuda.set_sync_debug_mode("error" if step == first else "default")

    with monkeypatch.context() as patch:
        patch.setattr(SimMIM, "after_update", after_update, raising=False)
        try:
            yield
        finally:
            if device.type == "cuda":
                torch.cuda.set_sync_debug_mode("default")


QUIET = TRAIN | {"epochs": 1.5, "log_every_steps": 100, "save_every_steps": 100}


@pytest.mark.parametrize("name", [*ENCODERS, "crops of the device"])
def test_no_update_waits_for_the_device(name, alone, data, tmp_path, monkeypatch):
    config = pretrain_config(**ENCODERS.get(name, {"images": ON_DEVICE}), train=QUIET)
    with waits_are_errors(alone.device, monkeypatch):
        pretrain(config, 0, data, tmp_path, alone)
    assert len(losses_of(tmp_path)) == 1


def test_a_wait_is_an_error(alone, data, tmp_path, monkeypatch):
    if alone.device.type == "cpu":
        pytest.skip("a CPU has no queue to wait for")
    forward = SimMIM.forward
    monkeypatch.setattr(SimMIM, "forward", lambda self, batch: forward(self, batch) * (1 + 0 * self.step_size()))
    monkeypatch.setattr(SimMIM, "step_size", lambda self: next(self.parameters()).sum().item(), raising=False)
    with waits_are_errors(alone.device, monkeypatch), pytest.raises(RuntimeError, match="synchronizing"):
        pretrain(pretrain_config(train=QUIET), 0, data, tmp_path, alone)


TO_COMPILE = {"shifted windows": {"depths": [2], "num_heads": [1], "drop_path": 0.0}, "ViT": {"drop_path": 0.0}}


@pytest.mark.parametrize("name", TO_COMPILE)
def test_compiled_blocks_stay_near(name, alone, data, tmp_path):
    encoder = ENCODERS[name]["encoder"] | TO_COMPILE[name]
    five = {"epochs": 2.5, "batch": 8, "precision": "bf16", "log_every_steps": 1}
    found, graphs = {}, counters["stats"]["unique_graphs"]
    for compiled in ("off", "on"):
        assert counters["stats"]["unique_graphs"] == graphs
        config = pretrain_config(encoder=encoder, train=five | {"compile": compiled})
        found[compiled], _ = trained(config, data, tmp_path / compiled, alone)
        environment = records.metadata(tmp_path / compiled / "train.parquet")["environment"]
        assert environment["compiled"] == (compiled == "on")
    assert counters["stats"]["unique_graphs"] > graphs, "nothing was compiled"
    assert len(found["on"]) == 5 and found["on"] == pytest.approx(found["off"], rel=3e-2)


def test_the_doctor_names_the_card(device, capsys, monkeypatch):
    monkeypatch.setenv("SIMMIM_DEVICE", device.type)
    assert main(["doctor"]) == 0
    said = capsys.readouterr().out
    if device.type == "cuda":
        assert torch.cuda.get_device_name(0) in said and "jobs    train on cuda here" in said
        assert "cuda:0" in said and "trains in" in said
    else:
        assert "jobs    train on the CPU here" in said
