"""Parameters, FLOPs and activations of the networks of jobs."""

import math

import pytest
import torch
from helpers.pretraining import ALONE, SWIN, VIT, packed, pretrain_config
from safetensors import safe_open
from sheets import CONFIG, copied
from torch import nn

from simmim import plugin
from simmim.config.sections import GeometrySection
from simmim.config.sheets import Sheets
from simmim.evaluate import stored_features
from simmim.planning import done
from simmim.planning.counting import Part, count, moved
from simmim.planning.network import SizedEncoder, encoder_part
from simmim.planning.pretraining_network import pretraining_network, tokenizer_network
from simmim.planning.transfer_network import transfer_network
from simmim.plugin import Component
from simmim.pretraining.run import pretrain

SHEETS = Sheets(CONFIG)
DEFAULT = SHEETS.pretraining("paper", "default")


def transfer(evaluation, classes=10, **settings):
    config = SHEETS.evaluation("smoke", "default", evaluation)
    config = config.model_copy(update={"settings": config.settings.model_copy(update=settings)})
    return transfer_network(config, SHEETS.pretraining("smoke", "default"), classes)


def test_pretraining_is_the_released_model():
    network = pretraining_network(DEFAULT)
    assert network.parameters == 89_874_104
    assert network.rest[:2] == (1024 * 3072 + 3072, 2 * 36 * 1024 * 3072)
    assert network.train_flops == 3 * network.forward_flops == pytest.approx(68.3e9, rel=0.001)
    assert network.kept_bytes / 2**20 == pytest.approx(156, rel=0.01)  # as the released code keeps in float32


def test_masks_and_drop_path_make_no_other_network():
    geometry = GeometrySection(image_px=192, masked_patch_px=4)
    other = DEFAULT.model_copy(
        update={
            "mask": Component(name="block"),
            "geometry": geometry,
            "encoder": DEFAULT.encoder.changed(drop_path=0.2),
        }
    )
    assert pretraining_network(other) is pretraining_network(DEFAULT)


def test_a_checkpointed_encoder_goes_forward_twice_and_keeps_less():
    other = DEFAULT.model_copy(update={"encoder": DEFAULT.encoder.changed(checkpoint_activations=True)})
    network, plain = pretraining_network(other), pretraining_network(DEFAULT)
    assert network.train_flops - plain.train_flops == plain.encoder.forward_flops
    assert network.kept_bytes < plain.kept_bytes / 4
    inputs = sum(4 * blocks * side**2 * width for blocks, side, width in ((2, 48, 128), (2, 24, 256), (18, 12, 512)))
    assert inputs < network.encoder.inputs_bytes < network.kept_bytes  # of the blocks, in float32
    assert network.kept_bytes - network.encoder.inputs_bytes < 0.1 * plain.kept_bytes  # and one block at a time
    assert network.parameters == plain.parameters


def test_activations_are_those_that_autograd_keeps():
    """Counted without memory; here against tensors that are there."""
    section = Component(name="swin", patch_px=4, embed_dim=8, depths=(1, 1, 2), num_heads=(1, 2, 2), window=4)
    encoder = plugin.build("encoders", section, image_px=(32, 32), in_channels=3)
    there = {each.untyped_storage().data_ptr() for each in (*encoder.parameters(), *encoder.buffers())}
    kept = {}

    def keep(tensor):
        kept[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        encoder(torch.randn(1, 3, 32, 32))
    found = sum(each.untyped_storage().nbytes() for place, each in kept.items() if place not in there)
    part = encoder_part(SizedEncoder(section, (32, 32), 3))
    assert part.kept_bytes + part.once_bytes == pytest.approx(found, rel=0.01)


def test_counted_by_hand():
    with torch.device("meta"):
        network = nn.Sequential(nn.Linear(6, 4), nn.ReLU(), nn.Linear(4, 2))
    found = count(moved(network), lambda: network(torch.empty(5, 6)))
    assert found[:3] == (6 * 4 + 4 + 4 * 2 + 2, 2 * 5 * (6 * 4 + 4 * 2), 4 * 5 * (6 + 4))


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize(
    ("run", "deeper"),
    [
        ("default", {"depths": (4, 1, 1, 2, 1)}),
        ("vit_b_800ep", {"depth": 4}),
        ("swin_v2_b_800ep_released", {"depths": (4, 1, 1, 2, 1), "drop_path": 0.0, "main_norm_every": 0}),
    ],
)
def test_a_block_that_is_not_run_again_counts_as_if_it_were(run, deeper, precision, monkeypatch):
    sized = SizedEncoder(SHEETS.pretraining("smoke", run).encoder.changed(**deeper), (64, 64), 3)
    once = encoder_part.__wrapped__(sized, precision)
    monkeypatch.setattr("simmim.planning.counting._described", lambda block: str(id(block)))
    assert once == encoder_part.__wrapped__(sized, precision)


class Layers(nn.Module):
    """As many equal layers as a setting says, scaled by what all blocks are given."""

    def __init__(self, times):
        super().__init__()
        self.linear, self.times, self.seen = nn.Linear(4, 4, bias=False), times, 0

    def forward(self, x, scale):
        self.seen += 1
        for _ in range(self.times):
            x = self.linear(x) * scale
        return x


def test_blocks_of_equal_settings_run_once():
    with torch.device("meta"):
        network = nn.ModuleDict({"blocks": nn.ModuleList(Layers(times) for times in (1, 1, 3, 3, 1))})

    def run():
        x, scale = torch.empty(2, 4, requires_grad=True), torch.empty(2, 4)
        for block in network["blocks"]:
            x = block(x, scale)

    found = count(moved(network), run)
    assert found.forward_flops == 2 * 2 * 4 * 4 * (1 + 1 + 3 + 3 + 1)
    assert found.kept_bytes == 4 * 2 * 4 * (1 + 1 + 3 + 3 + 1 + 1)  # inputs of layers, and the scale
    assert [block.seen for block in network["blocks"]] == [1, 1, 1, 0, 0]


def test_a_probe_sees_every_block():
    network = transfer("probe")
    blocks = SHEETS.pretraining("smoke", "default").encoder.settings["depths"]
    assert len(network.block_widths) == sum(blocks)
    assert network.rest == Part()


def test_a_classifier_adds_one_layer():
    ten, thirty = transfer("finetune"), transfer("finetune", classes=30)
    width = ten.block_widths or transfer("probe").block_widths
    assert thirty.parameters - ten.parameters == 20 * (width[-1] + 1)
    assert thirty.forward_flops - ten.forward_flops == 2 * 20 * width[-1]


def test_a_detector_counts_every_region_it_may_draw():
    sizes = {"fpn_channels": 8, "box_width": 16, "mask_width": 8, "mask_layers": 1}
    few, many = (transfer("detect", rois_per_image=regions, **sizes) for regions in (16, 32))
    box = 8 * 49 * 16 + 16 * 16 + 16 * (11 + 4 * 11)
    mask = 14 * 14 * 8 * 8 * 9 + 28 * 28 * (8 * 8 + 8 * 11)
    assert many.forward_flops - few.forward_flops == 2 * (16 * box + 4 * mask)
    assert many.parameters == few.parameters


def test_a_segmenter_has_its_decoder_and_auxiliary_head():
    narrow, wide = (transfer("segment", auxiliary_channels=width) for width in (8, 16))
    assert wide.parameters > narrow.parameters > narrow.encoder.parameters
    assert wide.rest.forward_flops > narrow.rest.forward_flops > 0


def test_a_target_of_tokens_costs_a_pass_through_its_tokenizer(tmp_path):
    codes = "target=tokens target.tokenizer=dvae_8192 target.resolution_px=12 loss.name=cross_entropy"
    sheets = copied(tmp_path / "config", f"tokens | swin_b_100ep | {codes}")
    network, default = pretraining_network(sheets.pretraining("paper", "tokens")), pretraining_network(DEFAULT)
    assert network.unlearnt.forward_flops > 1e9
    assert network.train_flops == 3 * network.forward_flops + network.unlearnt.forward_flops
    assert network.encoder == default.encoder
    trained = tokenizer_network(sheets.tokenizer("paper", "dvae_8192"))
    assert trained.forward_flops > network.unlearnt.forward_flops  # encoder and decoder, on crops of the same 96 px


def test_a_method_with_a_teacher_counts_its_views_and_its_teacher(tmp_path):
    pytest.importorskip("lightly")
    rows = "dino | dino_vit_b | method.local_crops=0", "more | dino_vit_b | method.local_crops=2"
    sheets = copied(tmp_path / "config", *rows)
    plain, more = (pretraining_network(sheets.pretraining("paper", run)) for run in ("dino", "more"))
    assert plain.forward_flops == plain.unlearnt.forward_flops  # two views through student and teacher alike
    assert more.unlearnt.forward_flops == plain.unlearnt.forward_flops
    assert 0 < more.forward_flops - plain.forward_flops < plain.forward_flops / 2  # two of 96 px
    assert more.parameters == plain.parameters


@pytest.mark.parametrize("method", ["simmim", "dino", "moco_v3"])
def test_the_head_that_a_run_leaves_is_the_one_that_is_kept(method, tmp_path):
    pytest.importorskip("lightly")
    encoder = VIT if method == "moco_v3" else SWIN | {"clamp_window": False}
    config = pretrain_config(method, encoder=encoder, train={"epochs": 0.5})
    network = pretraining_network(config)
    pretrain(config, 0, packed(tmp_path / "data"), tmp_path, ALONE)
    with safe_open(tmp_path / "head.safetensors", "pt") as file:
        names = file.keys()
        left = sum(math.prod(file.get_slice(name).get_shape()) for name in names)
    assert 0 < network.head_parameters <= left < network.head_parameters + 500  # beside them running statistics
    assert network.head_parameters <= network.rest.parameters


def test_a_plan_looks_for_the_manifest_that_features_end_with():
    assert done._MANIFEST == stored_features.MANIFEST
