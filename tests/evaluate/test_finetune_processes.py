"""Two processes score a classifier exactly as one, even where their batch statistics had drifted apart."""

import pickle

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from drawn_sets import CLASSES, HEADER, draw, packed, png

from simmim.data.samples import RawSample
from simmim.data.shards import Shards
from simmim.encoders.resnet import ResNet
from simmim.evaluate.finetune import task as finetune
from simmim.evaluate.finetune.settings import FinetuneSettings

SETTINGS = FinetuneSettings(image_px=64, score_batch=3)


def drifted_score(folder, drift):
    """Of a classifier that says the first class while its features are above 0, which a large drift ends."""
    torch.manual_seed(0)
    encoder = ResNet(image_px=(64, 64), stem_width=4, depths=(1, 1), width_factor=1)
    task = finetune.build_task(encoder, HEADER, SETTINGS, CLASSES)
    task.classifier.head.weight.data.copy_(torch.tensor([[1.0], [-1.0]]))
    task.classifier.head.bias.data.copy_(torch.tensor([-0.01, 0.01]))
    for name, buffer in encoder.named_buffers():
        if name.endswith("running_mean"):
            buffer += drift
    return finetune.score(task, Shards(folder), SETTINGS, torch.device("cpu"))


def score_together(rank, folder, out):
    dist.init_process_group("gloo", init_method=f"file://{out}.meet", rank=rank, world_size=2)
    rows = drifted_score(folder, 1000 * rank)
    dist.destroy_process_group()
    out.with_name(f"{out.name}{rank}").write_bytes(pickle.dumps(rows))


def test_two_processes_score_as_one(tmp_path):
    samples = [RawSample(f"{seed}.png", png(draw(seed)[0]), label=0) for seed in range(8)]
    folder = packed(tmp_path / "labelled", samples).folder
    alone = drifted_score(folder, 0)
    assert drifted_score(folder, 1000) != alone
    mp.start_processes(score_together, (folder, tmp_path / "two"), nprocs=2, start_method="spawn")
    assert all(pickle.loads((tmp_path / f"two{rank}").read_bytes()) == alone for rank in (0, 1))
