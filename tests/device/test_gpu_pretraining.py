"""Whole pre-trainings on a pretended GPU: their tensors lie together, and no step waits for the device."""

import pytest
import torch
from helpers.pretended_gpu import GPU, pretended_gpu
from helpers.pretraining import ALONE, packed, pretrain_config, tokenizer_config
from helpers.pretraining import VIT as VIT_SETTINGS

from simmim.encoders.vit import ViT
from simmim.methods.simmim import SimMIM
from simmim.pretraining.run import Init, pretrain
from simmim.pretraining.tokenizer import make_tokenizer
from simmim.storage import records
from simmim.train.processes import Processes

ON_GPU = Processes(0, 1, GPU)
WINDOWS = {"patch_px": 4, "embed_dim": 8, "depths": [2, 1], "num_heads": [1, 2], "window": 4, "drop_path": 0.2}
INVERSE = {"name": "inverse_swin_t", "embed_dim": 8, "depths": [1, 1], "num_heads": [1, 2], "window": 2}
TRAIN = {"epochs": 0.5, "batch": 4, "micro_batch": 2, "precision": "bf16", "clip_norm": 1.0, "weight_decay": 0.1}
DVAE = {"name": "dvae", "vocabulary": 16, "width": 4, "blocks": 1, "image_px": 16}
CLUSTERS = {"name": "colour_clusters", "clusters": 4, "images": 16, "colours_per_image": 8}
ENCODERS = {
    "shifted windows": {"encoder": {"name": "swin", **WINDOWS}},
    "recomputed blocks": {
        "encoder": {"name": "swin_v2", "main_norm_every": 1, "checkpoint_activations": True, **WINDOWS},
        "target": {"name": "bins", "bins": 4},
        "loss": {"name": "cross_entropy"},
    },
    "ViT": {"encoder": VIT_SETTINGS, "target": {"name": "normalised_pixels"}, "loss": {"name": "l2", "area": "full"}},
    "ResNet": {"encoder": {"name": "resnet", "stem_width": 4, "depths": [1, 1], "width_factor": 1}},
    "inverse Swin": {"encoder": {"name": "swin", **WINDOWS}, "head": INVERSE},
}
# Where a pre-training may wait: to begin, at a log row, to validate, and to write files.
WAITS = {
    "simmim/train/loop.py:_spread copy",
    "simmim/train/checkpoint.py:<dictcomp> copy",
    "simmim/train/guard.py:check aten::_local_scalar_dense",
    "simmim/train/log.py:write_row copy",
    "simmim/train/speed.py:_seconds aten::_local_scalar_dense",  # the peak of a card that is not listed, once
    "simmim/methods/_validation.py:_losses_of copy",
    "simmim/methods/_validation.py:_losses_of aten::_local_scalar_dense",
    "simmim/storage/model_file.py:<dictcomp> copy",
}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return packed(tmp_path_factory.mktemp("stripes"))


@pytest.fixture(autouse=True)
def fused_attention(monkeypatch):
    """As a ViT has it where there is a GPU."""
    initialise = ViT._initialise

    def fused(self):
        for block in self.blocks:
            block.attn.fused_attn = True
        initialise(self)

    monkeypatch.setattr(ViT, "_initialise", fused)


def run(config, data, out, processes=ON_GPU, init=None):
    """What a pretended GPU had to say of a pre-training."""
    with pretended_gpu() as gpu:
        pretrain(config, 0, data, out, processes, *([init] if init else []))
    return gpu


def check(gpu, *more):
    """No mixed devices, and of the steps no wait but that for the last one's log row."""
    assert not gpu.mixed
    assert gpu.waits.keys() <= WAITS | {*more}
    assert gpu.waits["simmim/train/guard.py:check aten::_local_scalar_dense"] == 1
    assert gpu.waits["simmim/train/log.py:write_row copy"] == 1


@pytest.mark.filterwarnings("ignore:'pin_memory' argument:UserWarning")
class TestPretraining:
    @pytest.mark.parametrize("name", ENCODERS)
    def test_simmim(self, name, data, tmp_path):
        check(run(pretrain_config(**ENCODERS[name], train=TRAIN), data, tmp_path))

    def test_it_computes_what_the_cpu_does(self, data, tmp_path):
        """So the pretended GPU does see every operation: none is left out, none is changed."""
        config = pretrain_config(**ENCODERS["shifted windows"], train=TRAIN)
        run(config, data, tmp_path / "gpu")
        pretrain(config, 0, data, tmp_path / "cpu", ALONE)
        losses = [
            records.read([tmp_path / place / "train.parquet"]).query("metric == 'loss'") for place in ("gpu", "cpu")
        ]
        assert losses[0]["value"].tolist() == losses[1]["value"].tolist()
        assert (tmp_path / "gpu/encoder.safetensors").read_bytes() == (
            tmp_path / "cpu/encoder.safetensors"
        ).read_bytes()

    @pytest.mark.filterwarnings("ignore:.*weight_norm:FutureWarning")
    @pytest.mark.parametrize("name", ["dino", "moco_v3"])
    def test_methods_with_a_teacher(self, name, data, tmp_path):
        pytest.importorskip("lightly")
        check(run(pretrain_config(name, encoder=VIT_SETTINGS, train=TRAIN), data, tmp_path))

    @pytest.mark.parametrize("kind", [DVAE, CLUSTERS], ids=["dVAE", "colour clusters"])
    def test_tokens(self, kind, data, tmp_path):
        train = TRAIN | {"base_lr": 1e-3, "base_lr_batch": 8} if kind is DVAE else None
        tokenizer, file = tokenizer_config(kind, train=train), tmp_path / "tokenizer.safetensors"
        with pretended_gpu() as made:
            make_tokenizer(tokenizer, data["train"], file, ON_GPU)
        assert not made.mixed
        target = {"name": "tokens", "tokenizer": kind["name"], "resolution_px": 4}
        config = pretrain_config(target=target, loss={"name": "cross_entropy"}, train=TRAIN, tokenizer=tokenizer)
        moved = "simmim/targets/tokens.py:_here copy"
        gpu = run(config, data, tmp_path, init=Init(tokenizer=file))
        check(gpu, moved)
        assert gpu.waits[moved] <= 100, "the tokenizer moves once"


@pytest.mark.filterwarnings("ignore:'pin_memory' argument:UserWarning")
@pytest.mark.parametrize("spoil", ["wait", "mix"])
def test_a_wait_and_a_tensor_left_behind_are_seen(spoil, data, tmp_path, monkeypatch):
    forward = SimMIM.forward

    def spoilt(self, batch):
        loss = forward(self, batch)
        return loss * max(loss.item(), 1.0) if spoil == "wait" else (loss * torch.ones(2)).mean()

    monkeypatch.setattr(SimMIM, "forward", spoilt)
    gpu = run(pretrain_config(train=TRAIN), data, tmp_path)
    with pytest.raises(AssertionError):
        check(gpu)
    assert bool(gpu.mixed) == (spoil == "mix")
