"""An update of every kind of pre-training at its real size, on the meta device: neither memory nor time is needed."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
import torch
from helpers.pretraining import packed

from simmim.config.sheets import Sheets
from simmim.data.shards import Shards
from simmim.planning.network import on_meta
from simmim.pretraining.method import build_method
from simmim.pretraining.tokenizer import build_tokenizer
from simmim.train.reading import to_device

SHEETS = Sheets(Path(__file__).parents[2] / "config").without_data
RUNS = [
    "default",
    "head_inverse_swin_b",
    "target_tokens",
    "dino_vit_b",
    "moco_v3_vit_b",
    "mpp_vit_b",
    "swin_l_800ep",
    "swin_v2_h_800ep",
    "resnet50x4_300ep",
]


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    return Shards(packed(tmp_path_factory.mktemp("data"))["train"])


@pytest.mark.parametrize("run", RUNS)
def test_an_update(run, shards, monkeypatch):
    """The loss is one number, and nearly every parameter of the trained encoder gets a gradient."""
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: contextlib.nullcontext())  # unknown to the meta device
    config, meta = SHEETS.pretraining("paper", run), torch.device("meta")
    with on_meta():
        tokenizer = build_tokenizer(config.tokenizer) if config.tokenizer else None
        method = build_method(config, tokenizer)
    batch = method.dataset(shards, 0).__getitems__([(0, 0), (0, 1)])
    with meta:
        loss = method(to_device(batch, meta))
    loss.backward()
    assert loss.shape == ()
    encoder = method.get_submodule(method.trained_encoder)
    reached = {name for name, value in encoder.named_parameters() if value.grad is not None}
    assert len(reached) > 0.95 * len(list(encoder.parameters())), {*dict(encoder.named_parameters())} - reached
