"""Detection and segmentation train the same with compiled blocks, whose feature maps are taken by hooks on timm's."""

import pytest
import torch
from evaluation_tasks import task_of
from test_detector_composition import detector, made_up_batch
from test_segmenter_training import SMALL, gradients, segmenter
from torch._dynamo.utils import counters

from simmim.encoders.timm import Timm
from simmim.layers.blocks import blocks_of
from simmim.train.compiled_blocks import Blocks


def timm_segmenter():
    torch.manual_seed(0)
    return task_of("segment", SMALL, Timm(image_px=(72, 72), model="test_convnext")).module()


def labelled(side):
    torch.manual_seed(1)
    images = torch.randint(0, 256, (2, 3, side, side), dtype=torch.uint8)
    return {"images": images, "labels": torch.randint(0, 2, (2, side, side))}


@pytest.fixture
def graphs(monkeypatch):
    """Counts what is captured, which then runs as it is."""
    compile = torch.compile
    monkeypatch.setattr(torch, "compile", lambda one, dynamic, options: compile(one, dynamic=dynamic, backend="eager"))
    counters.clear()
    yield lambda: counters["stats"]["unique_graphs"]
    torch._dynamo.reset()


@pytest.mark.parametrize(
    ("build", "batch"),
    [(detector, made_up_batch(64, 96)), (segmenter, labelled(72)), (timm_segmenter, labelled(72))],
    ids=["detector", "segmenter", "segmenter on timm"],
)
def test_gradients_are_those_of_plain_blocks(build, batch, graphs):
    found = []
    for compiled in (False, True):
        task = build().train()
        blocks = Blocks(list(blocks_of(task)) if compiled else ())
        for _ in range(2):
            task.zero_grad()
            torch.manual_seed(2)
            with blocks.running():
                found.append(gradients(task, [batch]))
    torch.testing.assert_close(found[2:], found[:2])
    assert found[0].norm() > 0 and 0 < graphs() <= len(list(blocks_of(task))) and not counters["graph_break"]
