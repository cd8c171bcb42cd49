"""A pre-training by two processes on one device, joined by gloo: NCCL refuses to join two on one card."""

import sys
from pathlib import Path

import torch.distributed as dist
from helpers.pretraining import pretrain_config

from simmim.pretraining.run import pretrain
from simmim.train.processes import joined_processes

TRAIN = {"micro_batch": 2, "log_every_steps": 1, "clip_norm": 1.0}

if __name__ == "__main__":
    data, out = map(Path, sys.argv[1:])
    dist.init_process_group("gloo")  # `joined_processes` takes a group that is there
    with joined_processes() as both:
        pretrain(pretrain_config(train=TRAIN), 0, {split: data / split for split in ("train", "val")}, out, both)
