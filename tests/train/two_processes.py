"""Trains as test_loop's `train` does, in the processes that torchrun started; the first one writes the end result."""

import json
import sys
from pathlib import Path

import test_loop
from safetensors.torch import save_file
from tasks import make_task

from simmim.train.processes import joined_processes

out = Path(sys.argv[1])
with joined_processes() as processes:
    test_loop.ALONE = processes
    state, history = test_loop.train(out / "state", make_task())
    if processes.leads:
        save_file(state, out / "final.safetensors")
        (out / "history.json").write_text(json.dumps(history))
