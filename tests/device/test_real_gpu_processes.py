"""Several processes, and sharded weights, on a real card; `SIMMIM_TEST_DEVICE=cpu` rehearses the same on the CPU.

NCCL joins one process per card. On one card, two are joined by gloo for copies of the weights (DDP), and sharded ones
(FSDP2) are the only part of a group of one, by NCCL. Two cards are tried as users start them, by torchrun.
"""

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from helpers.photos import write_photos
from helpers.pretraining import packed, pretrain_config
from two_on_one_card import TRAIN

from simmim.pretraining.run import pretrain
from simmim.storage import records
from simmim.train import checkpoint
from simmim.train.parameter_groups import parameter_groups
from simmim.train.reading import to_device
from simmim.train.sharding import clip_gradients, gather, is_sharded, shard, whole

sys.path.append(str(Path(__file__).parents[1] / "train"))

from test_sharding import Noise, Task

ROOT = Path(__file__).parents[2]
# float32, summed in another order, and a few updates of AdamW, which makes steps of rounding errors.
NEAR = {None: 1e-3, torch.bfloat16: 5e-2}


def losses_of(file):
    rows = records.read([file])
    return rows[rows["metric"] == "loss"].sort_values("step")["value"].tolist()


def environment_for(device, **more):
    """Of a process that is to compute on a device."""
    hidden = {"RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "TORCHELASTIC_RUN_ID"}
    kept = {key: value for key, value in os.environ.items() if key not in hidden}
    path = os.pathsep.join([str(ROOT), *sys.path])  # what pytest sees
    return kept | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1", "SIMMIM_DEVICE": device.type} | more


def test_two_processes_on_one_card_train_as_one(alone, tmp_path):
    data = packed(tmp_path / "data")
    pretrain(pretrain_config(train=TRAIN), 0, data, tmp_path / "one", alone)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    command = [sys.executable, Path(__file__).with_name("two_on_one_card.py"), tmp_path / "data", tmp_path / "two"]
    meeting = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "GLOO_SOCKET_IFNAME": "lo"}
    started = [
        subprocess.Popen(
            command,
            env=environment_for(alone.device, RANK=str(rank), **meeting),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for rank in (0, 1)
    ]
    try:
        said = [each.communicate(timeout=150)[0] for each in started]
    finally:
        for each in started:
            each.kill()
    assert [each.returncode for each in started] == [0, 0], "\n".join(words[-3000:] for words in said)
    one, two = (losses_of(tmp_path / name / "train.parquet") for name in ("one", "two"))
    assert len(one) == 8 and two == pytest.approx(one, rel=NEAR[None])
    stated = records.metadata(tmp_path / "two" / "train.parquet")["environment"]
    assert stated["processes"] == 2 and (stated["device"] == "cpu") == (alone.device.type == "cpu")


@pytest.fixture
def joined(alone, tmp_path):
    """One process in a group of its own, by NCCL where it has a card."""
    backend = "nccl" if alone.device.type == "cuda" else "gloo"
    dist.init_process_group(backend, init_method=f"file://{tmp_path}/meeting", rank=0, world_size=1)
    yield alone
    dist.destroy_process_group()


def prepared(processes, sharded, dtype=None):
    """A task, what is called for a loss, and the optimiser, as the loop makes them."""
    task = Task()
    groups = parameter_groups(task, "model.encoder.", 0.05, 0.9, {"mask_token"})
    if sharded:
        module, groups = shard(task, groups, processes, dtype)
    else:
        module = task.to(processes.device)
    return task, module, torch.optim.AdamW(groups, lr=1e-3, fused=True)


def updated(module, optimizer, processes, steps, dtype=None):
    """Losses and gradient norms of some updates."""
    found = []
    for step in steps:
        batch = to_device(Noise().__getitems__([(step, image) for image in range(8)]), processes.device)
        with torch.autocast(processes.device.type, dtype, enabled=dtype is not None, cache_enabled=False):
            loss = module(batch)
        loss.backward()
        norm = clip_gradients([each for each in module.parameters() if each.requires_grad], 0.5)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        found += [loss.item(), norm.item()]
    return found


@pytest.mark.parametrize("dtype", [None, torch.bfloat16], ids=str)
def test_sharded_weights_train_as_whole_ones_and_are_saved_and_read_back(dtype, joined, tmp_path):
    _, plain, its_optimizer = prepared(joined, sharded=False)
    expected = updated(plain, its_optimizer, joined, range(4), dtype)
    task, parts, optimizer = prepared(joined, True, dtype)
    assert is_sharded(parts) and next(parts.parameters()).device.type == joined.device.type
    found = updated(parts, optimizer, joined, range(2), dtype)
    checkpoint.write(tmp_path / "saved", 2, parts, optimizer)
    assert checkpoint.verified_manifest(tmp_path / "saved")["step"] == 2
    _, others, another = prepared(joined, True, dtype)
    checkpoint.restore(tmp_path / "saved", others, another)
    theirs = others.state_dict()
    assert all(torch.equal(whole(theirs[name]), whole(value)) for name, value in parts.state_dict().items())
    found += updated(others, another, joined, range(2, 4), dtype)
    assert found == pytest.approx(expected, rel=NEAR[dtype])
    gather(others, task, joined.device)
    assert next(task.parameters()).device.type == joined.device.type
    assert all(torch.equal(value, whole(theirs[name])) for name, value in task.state_dict().items())
    _, alone_again, last = prepared(joined, sharded=False)
    checkpoint.restore(tmp_path / "saved", alone_again, last)
    assert updated(alone_again, last, joined, range(2, 4), dtype) == pytest.approx(found[4:], rel=NEAR[dtype])


def test_torchrun_on_two_cards_trains_as_one_process(device, tmp_path):
    if device.type == "cuda" and torch.cuda.device_count() < 2:
        pytest.skip("there is one card only; NCCL joins one process per card")
    write_photos(tmp_path / "photos", 24)
    settings = ["--model", "swin_micro", "--image-px", "32", "--steps", "4", "--batch", "8"]
    said = run(device, tmp_path, ["-m", "simmim", "pretrain", "--data", "photos", "--out", "one", *settings, *EXACT])
    (one,) = tmp_path.glob("one/results/*/pretrain/*/seed0/train.parquet")
    scale, _, name = one.relative_to(tmp_path / "one" / "results").parts[:3]
    shutil.copytree(tmp_path / "one" / "results" / scale / "data", tmp_path / "two" / scale / "data")
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m", "--", "simmim", "pretrain"]
    row = ["--scale", scale, "--run", name, "--seed", "0", "--config", "one/config", "--results", "two"]
    said = run(device, tmp_path, [*launcher, *row])
    two = tmp_path / "two" / one.relative_to(tmp_path / "one" / "results")
    assert records.metadata(two)["environment"]["processes"] == 2, said
    assert losses_of(one) and losses_of(two) == pytest.approx(losses_of(one), rel=NEAR[None])


EXACT = ["--set", "train.precision=fp32"]


def run(device, folder, words):
    """What Python prints, of these words in a folder."""
    done = subprocess.run(
        [sys.executable, *words],
        cwd=folder,
        env=environment_for(device),
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    return done.stdout
