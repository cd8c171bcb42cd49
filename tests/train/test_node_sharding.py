"""On several nodes each has all weights, split over its own processes: four processes of two nodes equal one."""

import json
import os
import socket

import pytest
import torch
from agreement import assert_two_steps_agree
from test_sharding import Task, logged, train

from simmim.train.parameter_groups import parameter_groups
from simmim.train.processes import joined_processes
from simmim.train.sharding import shard


def one_of(rank, port, folder):
    place = {"RANK": rank, "WORLD_SIZE": 4, "LOCAL_WORLD_SIZE": 2, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    os.environ.update({name: str(value) for name, value in place.items()}, SIMMIM_DEVICE="cpu")
    torch.set_num_threads(1)
    with joined_processes() as processes:
        _, history = train(folder / "nodes", processes, sharded=True)
        task = Task()
        parts, _ = shard(task, parameter_groups(task, "model.encoder.", 0.05, 1.0, set()), processes, None)
        held = sum(each.to_local().numel() for each in parts.parameters()) / sum(map(torch.numel, task.parameters()))
        if processes.is_main_process:
            (folder / "history.json").write_text(json.dumps(history))
            (folder / "held.json").write_text(json.dumps(held))


@pytest.mark.slow
def test_four_processes_of_two_nodes_equal_one(tmp_path, fresh):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    every = [fresh(target=one_of, args=(rank, port, tmp_path)) for rank in range(4)]
    for process in every:
        process.start()
    _, history = train(tmp_path / "one")
    for process in every:
        process.join(120)
        assert process.exitcode == 0
    assert json.loads((tmp_path / "held.json").read_text()) == pytest.approx(1 / 2, abs=0.05)
    assert_two_steps_agree(tmp_path / "one", tmp_path / "nodes")
    for row, other in zip(history[:2], logged(tmp_path / "history.json")):
        assert other == pytest.approx({key: row[key] for key in other}, rel=1e-5)
