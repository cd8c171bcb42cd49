"""What `test_sharding.runs` looks at: trains sharded in the processes that torchrun started."""

import contextlib
import json
import sys
from pathlib import Path

import torch
import torch.distributed as dist
from test_sharding import Noise, Task, _until, keep, train
from torch.distributed.fsdp import FSDPModule

from simmim.train.guard import NonFiniteLoss
from simmim.train.parameter_groups import parameter_groups
from simmim.train.processes import joined_processes
from simmim.train.sharding import clip_gradients, shard

out = Path(sys.argv[1])


def run(name, **changes):
    state, history = train(out / name, processes, sharded=True, **changes)
    if processes.leads:
        keep(out / f"{name}.safetensors", state, history)
    dist.barrier()


def held_after_one_step():
    task = Task()
    every = sum(parameter.numel() for parameter in task.parameters())
    sharded, groups = shard(task, parameter_groups(task, "model.encoder.", 0.05, 1.0, set()), processes)
    optimizer = torch.optim.AdamW(groups, fused=True)
    sharded(Noise().__getitems__([(0, 1), (0, 2)])).backward()
    norms = [clip_gradients(sharded.parameters(), 1e-3).item() for _ in range(2)]
    optimizer.step()
    mine = sum(parameter.to_local().numel() for parameter in sharded.parameters())
    moments = [state[key].to_local().numel() for state in optimizer.state.values() for key in ("exp_avg", "exp_avg_sq")]
    before = [parameter.to_local().clone() for parameter in sharded.parameters()]
    optimizer.found_inf = torch.ones(())  # how the loop keeps a spoilt step from the weights
    optimizer.step()
    skipped = all(torch.equal(*pair) for pair in zip(before, (each.to_local() for each in sharded.parameters())))
    blocks = sum(isinstance(module, FSDPModule) for module in sharded.modules()) - 1
    return {
        "all": every,
        "parameters": mine,
        "moments": sum(moments),
        "blocks": blocks,
        "skipped": skipped,
        "norms": norms,
    }


with joined_processes() as processes:
    run("sharded")
    if processes.leads:
        _until(8, out / "sharded", out / "resumed")
    dist.barrier()
    run("resumed")
    run("from_one")
    run("sharded_bf16", precision="bf16", epochs=1)
    held = held_after_one_step()
    if processes.leads:
        (out / "held.json").write_text(json.dumps(held))
    with contextlib.suppress(NonFiniteLoss):
        run("spoilt", dataset=Noise(spoilt=17))
