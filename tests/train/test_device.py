"""A process that was promised a GPU has one, its own, that torch can use; or it ends with a sentence."""

from pathlib import Path

import pytest
import torch

from simmim.__main__ import main
from simmim.train.device import chosen_device

CONFIG = Path(__file__).parents[2] / "config"
TOO_OLD = "The NVIDIA driver on your system is too old (found version 11040). Please update your GPU driver"


@pytest.fixture(autouse=True)
def nothing_promised(monkeypatch):
    for name in ("SIMMIM_DEVICE", "CUDA_VISIBLE_DEVICES", "LOCAL_RANK", "TORCHELASTIC_RUN_ID"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("simmim.train.cards.visible", list)


def with_cards(monkeypatch, count, capability=(9, 0)):
    monkeypatch.setattr("torch.cuda.is_available", lambda: count > 0)
    monkeypatch.setattr("torch.cuda.device_count", lambda: count)
    monkeypatch.setattr("torch.cuda.get_device_capability", lambda number: capability)
    monkeypatch.setattr("torch.cuda.get_device_name", lambda number: "Made Up")
    monkeypatch.setattr("torch.cuda.get_arch_list", lambda: ["sm_75", "sm_80", "sm_90", "sm_100", "sm_120"])


def with_old_driver(monkeypatch):
    def init():
        raise RuntimeError(TOO_OLD)

    with_cards(monkeypatch, 0)
    monkeypatch.setattr("torch.cuda.init", init)
    monkeypatch.setattr("torch.version.cuda", "13.0")


def test_without_a_card_it_is_the_cpu(monkeypatch):
    with_cards(monkeypatch, 0)
    assert chosen_device() == torch.device("cpu")


def test_a_promise_that_a_driver_breaks_ends_the_process(monkeypatch):
    with_old_driver(monkeypatch)
    monkeypatch.setenv("SIMMIM_DEVICE", "cuda")
    with pytest.raises(ValueError, match=r"too old \(found version 11040\); torch .* needs a driver for CUDA 13\.0"):
        chosen_device()


def test_a_card_that_only_the_driver_sees_is_not_passed_over(monkeypatch):
    with_old_driver(monkeypatch)
    monkeypatch.setattr("simmim.train.cards.visible", lambda: ["GPU-a"])
    with pytest.raises(ValueError, match=r"is to have a GPU and cannot use one: .* SIMMIM_DEVICE=cpu"):
        chosen_device()
    monkeypatch.setenv("SIMMIM_DEVICE", "cpu")
    assert chosen_device() == torch.device("cpu")


def test_a_wheel_without_cuda_and_hidden_cards_are_named(monkeypatch):
    with_old_driver(monkeypatch)
    monkeypatch.setenv("SIMMIM_DEVICE", "cuda")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    with pytest.raises(ValueError, match="CUDA_VISIBLE_DEVICES hides every card"):
        chosen_device()
    monkeypatch.setattr("torch.version.cuda", None)
    with pytest.raises(ValueError, match="built without CUDA"):
        chosen_device()


@pytest.mark.parametrize(("count", "local", "number"), [(4, 0, 0), (4, 3, 3), (1, 0, 0), (1, 3, 0)])
def test_every_process_of_a_node_has_its_own_card(monkeypatch, count, local, number):
    """Also where each sees one only (`srun --gpus-per-task=1`)."""
    with_cards(monkeypatch, count)
    monkeypatch.setenv("LOCAL_RANK", str(local))
    assert chosen_device() == torch.device("cuda", number)


@pytest.mark.parametrize(("count", "elastic"), [(2, False), (1, True)])
def test_more_processes_than_cards_are_refused(monkeypatch, count, elastic):
    with_cards(monkeypatch, count)
    monkeypatch.setenv("LOCAL_RANK", "3")
    if elastic:
        monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")
    with pytest.raises(ValueError, match=f"process 3 of this node has no card of its own: it sees {count}"):
        chosen_device()


@pytest.mark.parametrize(
    ("capability", "runs"), [((7, 0), False), ((7, 5), True), ((8, 9), True), ((11, 0), False), ((12, 1), True)]
)
def test_a_card_that_the_wheel_has_no_code_for_is_refused(monkeypatch, capability, runs):
    with_cards(monkeypatch, 1, capability)
    if runs:
        assert chosen_device() == torch.device("cuda", 0)
    else:
        with pytest.raises(ValueError, match=rf"has code for sm_75 .* not for Made Up \(sm_{capability[0]}0\)"):
            chosen_device()


def test_an_unknown_device_is_refused(monkeypatch):
    monkeypatch.setenv("SIMMIM_DEVICE", "gpu")
    with pytest.raises(ValueError, match=r"unknown SIMMIM_DEVICE 'gpu'"):
        chosen_device()


def test_the_doctor_looks_at_wheel_driver_and_cards(monkeypatch, capsys):
    monkeypatch.setenv("SIMMIM_DEVICE", "cpu")
    assert main(["doctor"]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith(f"torch   {torch.__version__}") and "\ndriver  " in printed
    assert printed.endswith("jobs    train on the CPU here\n")


def test_the_doctor_needs_no_sheets_to_look_at_a_machine(monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert main(["doctor"]) == 0 and "jobs    train on" in capsys.readouterr().out
    assert main(["doctor", "--profile", "slurm"]) == 2 and "run this where config/ lies" in capsys.readouterr().err
    assert main(["doctor", "--config", "sheets"]) == 2 and "no folder sheets" in capsys.readouterr().err


def test_the_doctor_names_what_is_wrong(monkeypatch, capsys):
    with_old_driver(monkeypatch)
    monkeypatch.setattr("simmim.train.cards.visible", lambda: ["GPU-a"])
    assert main(["doctor"]) == 2
    assert "too old" in capsys.readouterr().err


def test_a_job_with_a_broken_promise_ends_with_a_sentence(monkeypatch, capsys, tmp_path):
    with_old_driver(monkeypatch)
    monkeypatch.setenv("SIMMIM_DEVICE", "cuda")
    where = ["--config", str(CONFIG), "--results", str(tmp_path)]
    assert main(["pretrain", "--scale", "smoke", "--run", "default", "--seed", "0", *where]) == 2
    error = capsys.readouterr().err
    assert error.startswith("simmim: error: this process is to have a GPU") and error.count("\n") == 1
