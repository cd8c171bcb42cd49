"""Tasks on made-up inputs, without the job that runs them."""

from types import SimpleNamespace

import torch
from drawn_sets import CLASSES, HEADER

from simmim import plugin
from simmim.evaluate.task import Inputs, Task

WITHOUT_IMAGES = SimpleNamespace(classes=CLASSES)


def task_of(name, settings, encoder=None, shards=WITHOUT_IMAGES, seed=0, header=HEADER, **more) -> Task:
    """A task whose every split is `shards`."""
    given = {"training": None, "device": torch.device("cpu"), "sets": dict.fromkeys(("train", "val"), shards)}
    return plugin.task(name)(Inputs(settings=settings, seed=seed, encoder=encoder, header=header, **given | more))
