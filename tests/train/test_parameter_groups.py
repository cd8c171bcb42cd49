import pytest
import torch
from official import GOLDEN, case, encoder_section, our_name, simmim_model
from torch import nn

from simmim import plugin
from simmim.evaluate.finetune.classifier import Classifier
from simmim.plugin import Component
from simmim.train.parameter_groups import parameter_groups

PRETRAINED = [path.stem for path in GOLDEN.glob("groups_pretrain__*.json")]
FINE_TUNED = [path.stem for path in GOLDEN.glob("groups_finetune__*.json")]
assert len(PRETRAINED) == len(FINE_TUNED) == 3


def _by_name(model, groups):
    """Name -> (weight decay, rate scale, group name) of every parameter in the groups."""
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    rows = [
        (names[id(parameter)], (group["weight_decay"], pytest.approx(group["lr_scale"], rel=1e-12), group["name"]))
        for group in groups
        for parameter in group["params"]
    ]
    assert len(rows) == len(dict(rows)), "a parameter is in two groups"
    return dict(rows)


def _expected(record, prefix):
    def place(name):
        outside = prefix and name.startswith(("head.", "fc_norm."))
        return our_name(name) if outside else prefix + our_name(name)

    return {
        place(name): (group["weight_decay"], group["lr_scale"], group["group_name"])
        for group in record["groups"]
        for name in group["params"]
    }


@pytest.mark.parametrize("name", PRETRAINED)
def test_released_pretraining_groups(name):
    record = case(name)
    with torch.device("meta"):
        model = simmim_model(record["config"])
    skip = model.encoder.no_weight_decay(pretraining=True)
    groups = parameter_groups(model, "encoder.", record["config"]["weight_decay"], 1.0, skip)
    assert _by_name(model, groups) == _expected(record, "")
    assert len(groups) == len(record["groups"]) == 2
    assert sum(p.numel() for group in groups for p in group["params"]) == record["parameter_count"]


@pytest.mark.parametrize("name", FINE_TUNED)
def test_released_finetuning_groups(name):
    record = case(name)
    config = record["config"]
    section = encoder_section(config)
    section |= {"shared_bias": False, "final_norm": False} if config["model"] == "vit" else {}
    with torch.device("meta"):
        encoder = plugin.build("encoders", Component.model_validate(section), image_px=(config["img_size"],) * 2)
        model = Classifier(encoder, config["num_classes"])
    skip = encoder.no_weight_decay()
    groups = parameter_groups(model, "encoder.", config["weight_decay"], config["layer_decay"], skip)
    assert _by_name(model, groups) == _expected(record, "encoder.")
    assert len(groups) == len(record["groups"])
    assert sum(p.numel() for group in groups for p in group["params"]) == record["parameter_count"]


class _Composite(nn.Module):
    def __init__(self):
        super().__init__()
        section = {"name": "vit", "patch_px": 8, "embed_dim": 24, "depth": 2, "num_heads": 2}
        self.part = nn.Module()
        self.part.encoder = plugin.build("encoders", Component.model_validate(section), image_px=(32, 32))
        self.part.neck = nn.Conv2d(24, 8, 1)
        self.blocks = nn.ModuleList([nn.Linear(8, 4)])  # named like an encoder's part, but outside it


def test_parameters_outside_the_encoder_belong_to_the_top():
    model = _Composite()
    rows = _by_name(model, parameter_groups(model, "part.encoder.", 0.1, 0.5, {"cls_token"}))
    assert rows["part.encoder.cls_token"] == (0.0, 0.125, "layer_0_no_decay")
    assert rows["part.encoder.patch_embed.proj.weight"] == (0.1, 0.125, "layer_0_decay")
    assert rows["part.encoder.blocks.1.norm1.weight"] == (0.0, 0.5, "layer_2_no_decay")
    assert rows["part.neck.weight"] == (0.1, 1.0, "layer_3_decay")
    assert rows["blocks.0.weight"] == (0.1, 1.0, "layer_3_decay")
    assert rows["blocks.0.bias"] == (0.0, 1.0, "layer_3_no_decay")
    assert rows.keys() == dict(model.named_parameters()).keys()


def test_frozen_parameters_are_in_no_group():
    model = _Composite()
    model.part.encoder.requires_grad_(False)
    rows = _by_name(model, parameter_groups(model, "part.encoder.", 0.1, 1.0, set()))
    assert set(rows) == {"part.neck.weight", "part.neck.bias", "blocks.0.weight", "blocks.0.bias"}


@pytest.mark.parametrize("layer_decay", [0.0, 1.5])
def test_layer_decay_out_of_range(layer_decay):
    with pytest.raises(ValueError, match=r"layer_decay .* must lie inside \(0, 1\]"):
        parameter_groups(_Composite(), "part.encoder.", 0.1, layer_decay, set())
