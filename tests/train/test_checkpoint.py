"""Checkpoints by themselves: what is refused, and what older ones hold."""

import errno
import json
import os

import pytest
import torch
import torch.distributed as dist
from safetensors.torch import load_file, save_file
from tasks import make_task

from simmim.storage.sealed_json import read_sealed, write_sealed
from simmim.train import checkpoint


def stepped(task):
    """AdamW after one update."""
    optimizer = torch.optim.AdamW([each for each in task.parameters() if each.requires_grad], lr=0.1, fused=True)
    task({"x": torch.ones(2, 8)}).backward()
    optimizer.step()
    return optimizer


def test_the_optimiser_s_state_goes_by_parameter_name(tmp_path):
    """So it does in checkpoints of earlier versions, which are read as well."""
    task = make_task()
    optimizer = stepped(task)
    checkpoint.save(tmp_path, 1, task, optimizer, history=[])
    held = load_file(tmp_path / "step-00000001" / "optimizer.safetensors")
    names = [name for name, _ in task.named_parameters()]
    assert sorted(held) == sorted(f"{name}/{key}" for name in names for key in ("step", "exp_avg", "exp_avg_sq"))
    for name, parameter in task.named_parameters():
        assert all(torch.equal(held[f"{name}/{key}"], value) for key, value in optimizer.state[parameter].items())


def test_saving_before_the_first_update_counts_none(tmp_path):
    task = make_task()
    optimizer = torch.optim.AdamW(task.parameters(), fused=True)
    checkpoint.save(tmp_path, 0, task, optimizer, history=[])
    assert not optimizer.state and not load_file(tmp_path / "step-00000000" / "optimizer.safetensors")
    checkpoint.restore(tmp_path / "step-00000000", task, optimizer)
    assert not optimizer.state


def test_state_of_a_parameter_that_is_trained_no_more_is_refused(tmp_path):
    task = make_task()
    checkpoint.save(tmp_path, 1, task, stepped(task), history=[])
    task.net[0].weight.requires_grad_(False)
    optimizer = torch.optim.AdamW([each for each in task.parameters() if each.requires_grad])
    with pytest.raises(ValueError, match=r"optimiser state of unknown parameters: \['net\.0\.weight/exp_avg'"):
        checkpoint.restore(tmp_path / "step-00000001", task, optimizer)


def test_a_parameter_that_never_had_a_gradient_goes_on_without_state(tmp_path):
    task = make_task()
    task.unused = torch.nn.Linear(2, 1)
    checkpoint.save(tmp_path, 1, task, stepped(task), history=[])
    optimizer = torch.optim.AdamW(task.parameters(), fused=True)
    checkpoint.restore(tmp_path / "step-00000001", task, optimizer)
    assert {each for each in task.parameters() if each in optimizer.state} == set(task.net.parameters())


def test_optimiser_state_of_which_a_part_is_lacking_is_refused(tmp_path):
    task = make_task()
    checkpoint.save(tmp_path, 1, task, stepped(task), history=[])
    path = tmp_path / "step-00000001" / "optimizer.safetensors"
    held = load_file(path)
    del held["net.3.bias/exp_avg"]
    save_file(held, path)
    with pytest.raises(
        ValueError, match=r"optimizer\.safetensors lacks net\.3\.bias/exp_avg; remove .*step-00000001: "
    ):
        checkpoint.restore(path.parent, task, torch.optim.AdamW(task.parameters()))


def test_weights_of_another_network_are_refused(tmp_path):
    task = make_task()
    checkpoint.save(tmp_path, 1, task, stepped(task), history=[])
    other = make_task()
    other.net = other.net[:1]
    with pytest.raises(RuntimeError, match=r"Unexpected key\(s\) in state_dict: \"net\.3"):
        checkpoint.restore(tmp_path / "step-00000001", other, torch.optim.AdamW(other.parameters()))


def test_another_format_is_refused_in_a_sentence(tmp_path):
    task = make_task()
    checkpoint.save(tmp_path, 1, task, stepped(task), history=[])
    path = tmp_path / "step-00000001" / "manifest.json"
    write_sealed(path, read_sealed(path) | {"format": 99})
    with pytest.raises(ValueError, match="format 99, this version reads format 2"):
        checkpoint.newest(tmp_path)


@pytest.mark.parametrize(
    ("old", "new"), [(b'"step": 1', b'"step": 3'), (b'"history"', b'"histery"'), (b"rest", b"rust")]
)
def test_a_manifest_that_was_changed_is_not_trusted(tmp_path, old, new):
    task = make_task()
    checkpoint.save(tmp_path, 1, task, stepped(task), history=[])
    path = tmp_path / "step-00000001" / "manifest.json"
    path.write_bytes(path.read_bytes().replace(old, new))
    with pytest.raises(
        ValueError, match=r"no sound checkpoint among 1(.|\n)*manifest\.json (is damaged|has no digest)"
    ):
        checkpoint.newest(tmp_path)


def test_a_write_that_fails_leaves_the_checkpoints_before_and_nothing_else(tmp_path, monkeypatch):
    task = make_task()
    optimizer = stepped(task)
    checkpoint.save(tmp_path, 1, task, optimizer, history=[])

    def full(*arguments):
        raise OSError(28, "No space left on device", "optimizer.safetensors")

    monkeypatch.setattr(checkpoint, "write_sealed", full)
    with pytest.raises(OSError, match="No space left"):
        checkpoint.save(tmp_path, 2, task, optimizer, history=[])
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000001"]
    assert checkpoint.newest(tmp_path)[1]["step"] == 1


def test_processes_that_do_not_write_leave_the_files_to_the_main_one(tmp_path):
    task = make_task()
    checkpoint.save(tmp_path, 1, task, stepped(task), is_main_process=False, history=[])
    assert not list(tmp_path.iterdir())


def test_the_two_newest_are_kept(tmp_path):
    task = make_task()
    optimizer = stepped(task)
    for step in (9, 200, 10, 100):  # 200 was damaged: the training has come from 9 again
        checkpoint.save(tmp_path, step, task, optimizer, history=[])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-00000010", "step-00000100"]
    assert checkpoint.newest(tmp_path)[1]["step"] == 100


@pytest.fixture
def begun(together):
    """What each of two processes did where the second one's node shows the folder as it was (`two_processes.py`)."""
    return json.loads((together / "begun.json").read_text())


def test_all_processes_go_on_from_what_the_main_one_lists(begun):
    first, second = (each["not listed"] for each in begun)
    assert first == second and first.startswith("step 3, ")


def test_a_process_that_cannot_read_what_the_main_one_read_takes_no_other(begun):
    """No ValueError, which would end the job: started again, it may well read it."""
    first, second = (each["not reached"] for each in begun)
    assert first.startswith("step 3, ")
    assert second.startswith("RuntimeError: process 1 does not read the ") and "step-00000003 that the main" in second


def test_no_sound_checkpoint_is_said_on_every_process(begun):
    first, second = (each["damaged"] for each in begun)
    assert first == second and first.startswith("ValueError: no sound checkpoint among 2")


@pytest.fixture
def group():
    """One process that counts as many."""
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    yield
    dist.destroy_process_group()


@pytest.mark.usefixtures("group")
def test_a_full_disk_is_an_error_with_a_name_where_every_process_writes_its_parts(tmp_path, monkeypatch):
    """PyTorch makes a CheckpointException of it, which is no Exception and would end in a traceback."""
    task, flush = make_task(), os.fsync
    optimizer, task.unshard = stepped(task), None  # what sharded modules have

    def full(file):
        if os.readlink(f"/proc/self/fd/{file}").endswith(".safetensors"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        flush(file)

    with monkeypatch.context() as patch, pytest.raises(OSError, match="No space left on device") as ended:
        patch.setattr(os, "fsync", full)
        checkpoint.save(tmp_path, 1, task, optimizer, history=[])
    assert ended.value.filename == str(tmp_path / ".step-00000001.part") and not [*tmp_path.iterdir()]
    checkpoint.save(tmp_path, 1, task, optimizer, history=[])
    assert checkpoint.newest(tmp_path)[1]["step"] == 1
