"""Trains DINO, and takes MoCo v3's contrast, in the processes that torchrun started; the first writes the results."""

import json
import sys
from pathlib import Path

import torch

from simmim.config.models import PretrainConfig
from simmim.methods.moco_v3 import contrast
from simmim.pretrain.run import pretrain
from simmim.train.processes import joined_processes, sum_over_processes

data, out = map(Path, sys.argv[1:])
config = PretrainConfig.model_validate_json((out / "config.json").read_text())
with joined_processes() as processes:
    pretrain(config, 0, {split: data / split for split in ("train", "val")}, out / "two", processes)
    torch.manual_seed(0)
    guesses, keys = torch.randn(8, 5, requires_grad=True), torch.randn(8, 5)
    mine = slice(4 * processes.rank, 4 * processes.rank + 4)
    loss = contrast(guesses[mine], keys[mine], 0.2)
    loss.backward()
    means = [sum_over_processes(value) / 2 for value in (loss.detach(), guesses.grad)]
    if processes.is_main_process:
        (out / "contrast.json").write_text(json.dumps({"loss": means[0].item(), "gradient": means[1].tolist()}))
