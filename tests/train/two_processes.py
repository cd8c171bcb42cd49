"""All that this folder's tests look at, done by the processes that torchrun started; the first one writes it down."""

import contextlib
import functools
import json
import shutil
import sys
from pathlib import Path
from unittest import mock

import test_loop
import test_sharding
import torch
import torch.distributed as dist
from agreement import FEW_STEPS
from safetensors.torch import save_file
from tasks import make_task
from torch.distributed.fsdp import FSDPModule

from simmim.storage.identity import Identity
from simmim.train import checkpoint
from simmim.train.guard import NonFiniteLoss
from simmim.train.loop import Run, _resume
from simmim.train.parameter_groups import parameter_groups
from simmim.train.processes import Processes, joined_processes, told_by_main
from simmim.train.sharding import clip_gradients, shard


def replicated(out: Path, processes: Processes) -> None:
    """The loop's own task, a copy of the weights on each process."""
    for name, clip_norm in (("clipped", 0.5), ("free", 0)):
        _, history = test_loop.timed(out / name, make_task(), processes=processes, clip_norm=clip_norm, **FEW_STEPS)
        if processes.is_main_process:
            (out / f"{name}.json").write_text(json.dumps(history))


def sharded(out: Path, processes: Processes) -> None:
    """SimMIM, its weights split over both processes."""

    def run(name: str, begin_with: Path | None = None, **changes) -> None:
        if processes.is_main_process and begin_with:
            shutil.copytree(begin_with, out / name / begin_with.name)
        dist.barrier()
        state, history = test_sharding.train(out / name, processes, sharded=True, **changes)
        if processes.is_main_process:
            save_file(state, out / f"{name}.safetensors")
            (out / f"{name}.json").write_text(json.dumps(history))

    run("sharded")
    run("resumed", out / "sharded" / "step-00000001")
    if processes.is_main_process:
        test_sharding.train(out / "one")
    dist.barrier()
    run("from_one", out / "one" / "step-00000001")
    run("bf16", precision="bf16", epochs=2)
    with contextlib.suppress(NonFiniteLoss):
        run("spoilt", dataset=test_sharding.Noise(spoilt=17), epochs=1)


def resumed(folder: Path, processes: Processes) -> list[dict]:
    """What each process goes on from where the second one's node does not list, or not reach, the last checkpoint."""
    listed, read = checkpoint._steps, checkpoint.sha256_file

    def begun() -> str:
        task = make_task()
        run = Run(Identity({"a": {"b": 1}}, 0), folder, "test")
        try:
            done = _resume(run, task, torch.optim.AdamW(task.parameters()), processes)
        except (ValueError, RuntimeError) as error:
            return f"{type(error).__name__}: {error}"
        return f"step {done.step}, {task.net[0].weight.sum().item()}"

    def unreachable(path: Path) -> str:
        if processes.rank and "step-00000003" in str(path):
            raise FileNotFoundError(2, "No such file or directory", str(path))
        return read(path)

    with mock.patch.object(checkpoint, "_steps", lambda path: listed(path)[: 1 if processes.rank else None]):
        found = {"not listed": begun()}
        with mock.patch.object(checkpoint, "sha256_file", unreachable):
            found["not reached"] = begun()
        with mock.patch.object(checkpoint, "sha256_file", lambda path: "another"):
            found["damaged"] = begun()
    found["told"] = told_by_main(lambda: processes.rank, processes)
    every = [{}, {}]
    dist.all_gather_object(every, found)
    return every


def held_after_one_step(processes: Processes) -> dict:
    """How much of model and moments this process holds, and what clipping and a spoilt step do to its part."""
    task = test_sharding.Task()
    every = sum(parameter.numel() for parameter in task.parameters())
    parts, groups = shard(task, parameter_groups(task, "model.encoder.", 0.05, 1.0, set()), processes, None)
    optimizer = torch.optim.AdamW(groups, fused=True)
    parts(test_sharding.Noise().__getitems__([(0, 1), (0, 2)])).backward()
    norms = [clip_gradients(parts.parameters(), 1e-3).item() for _ in range(2)]
    optimizer.step()
    mine = sum(parameter.to_local().numel() for parameter in parts.parameters())
    moments = [state[key].to_local().numel() for state in optimizer.state.values() for key in ("exp_avg", "exp_avg_sq")]
    before = [parameter.to_local().clone() for parameter in parts.parameters()]
    optimizer.found_inf = torch.ones(())  # how the loop keeps a spoilt step from the weights
    optimizer.step()
    skipped = all(torch.equal(*pair) for pair in zip(before, (each.to_local() for each in parts.parameters())))
    blocks = sum(isinstance(module, FSDPModule) for module in parts.modules()) - 1
    held = {"all": every, "parameters": mine, "moments": sum(moments), "blocks": blocks}
    return held | {"skipped": skipped, "norms": norms}


def formats(processes: Processes) -> dict:
    """Number formats of weights while a bfloat16 training computes with them, and of what is kept of them."""
    task, seen = test_sharding.Task(), {}
    groups = parameter_groups(task, "model.encoder.", 0.05, 1.0, set())
    parts, _ = shard(task, groups, processes, torch.bfloat16)

    def note(name: str, module: torch.nn.Module, *_: object) -> None:
        seen[name] = str(next(module.parameters()).dtype)

    for name in ("layers.0.blocks.0", "patch_embed"):
        parts.model.encoder.get_submodule(name).register_forward_pre_hook(functools.partial(note, name))
    with torch.autocast("cpu", torch.bfloat16):
        parts(test_sharding.Noise().__getitems__([(0, 1), (0, 2)])).backward()
    kept = [part for part in parts.parameters() if part.requires_grad]
    return {"gathered": seen, "kept": list({str(each.dtype) for part in kept for each in (part, part.grad)})}


if __name__ == "__main__":
    with joined_processes() as both:
        folder = Path(sys.argv[1])
        replicated(folder, both)
        sharded(folder, both)
        begun = resumed(folder / "clipped", both)
        held = held_after_one_step(both) | formats(both)
        if both.is_main_process:
            (folder / "begun.json").write_text(json.dumps(begun))
            (folder / "held.json").write_text(json.dumps(held))
