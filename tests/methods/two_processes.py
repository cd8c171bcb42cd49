"""Trains DINO and MoCo v3 in the processes that torchrun started."""

import sys
from pathlib import Path

from simmim.config.models import PretrainConfig
from simmim.pretraining.run import pretrain
from simmim.train.processes import joined_processes

data, out = map(Path, sys.argv[1:])
with joined_processes() as processes:
    for method in ("dino", "moco_v3"):
        config = PretrainConfig.model_validate_json((out / f"{method}.json").read_text())
        pretrain(config, 0, {split: data / split for split in ("train", "val")}, out / "two" / method, processes)
