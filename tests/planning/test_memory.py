"""The plan's memory against peaks that are measured: two micro-batches, forward and backward, on fake tensors.

They have real sizes and no content, so that no memory is needed. Encoders have their real widths and fewer blocks.
"""

import weakref

import pytest
import torch
from sheets import CONFIG
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from simmim import plugin
from simmim.config.sheets import Sheets
from simmim.config.training import TrainSettings
from simmim.evaluate.detect.detector import Detector
from simmim.planning.counting import moved, on_fake_device
from simmim.planning.gpus import machine
from simmim.planning.memory import fitting_micro_batch, training_memory
from simmim.planning.network import SizedEncoder, build_encoder, counted_section, is_checkpointed, on_meta
from simmim.planning.pretraining_network import pretraining_network
from simmim.planning.transfer_network import build_transfer, transfer_network
from simmim.pretraining.method import build_method

SHEETS = Sheets(CONFIG)
MOMENTS = 8  # bytes a parameter, which the optimiser would hold beside what is measured
FEW_BLOCKS = {"swin": {"depths": (1, 1, 2, 1)}, "swin_v2": {"depths": (1, 1, 2, 1)}, "vit": {"depth": 3}}

HUGE = SHEETS.pretraining("paper", "swin_v2_h_800ep")
# SwinV2-G at 640 px: its own row needs data that are not public.
GIANT = HUGE.model_copy(
    update={
        "encoder": HUGE.encoder.changed(embed_dim=512, num_heads=(16, 32, 64, 128), window=40),
        "geometry": HUGE.geometry.model_copy(update={"image_px": (640, 640)}),
    }
)


class Live(TorchDispatchMode):
    """Bytes of all tensors that are there, and the most there were."""

    def __init__(self, network):
        super().__init__()
        self.now = self.most = 0
        self._seen = weakref.WeakSet()
        for tensor in network.state_dict(keep_vars=True).values():
            self._add(tensor)

    def _add(self, tensor):
        storage = tensor.untyped_storage()
        if storage not in self._seen:
            self._seen.add(storage)
            self.now += storage.nbytes()
            self.most = max(self.most, self.now)
            weakref.finalize(storage, self._remove, storage.nbytes())

    def _remove(self, size):
        self.now -= size

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **kwargs or {})
        for tensor in tree_leaves(out):
            if isinstance(tensor, torch.Tensor):
                self._add(tensor)
        return out


def measured(task, batch_of):
    """The peak on fake tensors."""
    with on_fake_device("fp32", "cpu"):
        return peak(moved(task, "cpu").train(), batch_of())


def peak(task, batch):
    """The peak of the second of two micro-batches, and the moments of AdamW."""
    with Live(task) as live:
        for _ in range(2):
            live.most = live.now
            (task(batch) / 2).backward()
    trained = [each for each in task.parameters() if each.requires_grad]
    return live.most + MOMENTS * sum(each.numel() for each in trained)


def settings(micro_batch):
    return TrainSettings(epochs=1, batch=2 * micro_batch, micro_batch=micro_batch, base_lr=1)


def shortened(section):
    return section.changed(**FEW_BLOCKS.get(section.name, {}))


def pretraining(run, images):
    """Measured and planned bytes of a pre-training."""
    config = GIANT if run == "giant" else SHEETS.pretraining("paper", run)
    config = config.model_copy(update={"encoder": shortened(config.encoder)})
    with on_meta():
        task = build_method(config)
    height, width = config.geometry.image_px

    def batch():
        if config.method.name != "simmim":
            return {
                name: torch.empty(images, len(views), 3, *views[0].image_px, dtype=torch.uint8)
                for name, views in task.views.items()
            }
        tokens = height // task.encoder.token, width // task.encoder.token
        pixels = torch.empty(images, 3, height, width, dtype=torch.uint8)
        return {"images": pixels, "hidden": torch.zeros(images, *tokens, dtype=torch.bool)}

    network = pretraining_network(config, "fp32")
    return measured(task, batch), training_memory(settings(images), network, "fp32", gpus=1)


def transfer(run, evaluation, images, classes, **changes):
    """Measured and planned bytes of a fine-tuning or a segmentation."""
    config, run_config = SHEETS.evaluation("paper", run, evaluation), SHEETS.pretraining("paper", run)
    run_config = run_config.model_copy(update={"encoder": shortened(run_config.encoder)})
    config = config.model_copy(update={"encoder": config.encoder | changes})
    section, side = config.encoder_of(run_config), config.settings.image_px
    assert is_checkpointed(section) == bool(section.settings.get("checkpoint_activations"))
    _, task = build_transfer(config.task, config.settings, SizedEncoder(section, (side, side), 3), classes)

    def batch():
        labels = (images, side, side) if evaluation.startswith("segment") else (images,)
        pixels = torch.empty(images, 3, side, side, dtype=torch.uint8)
        return {"images": pixels, "labels": torch.zeros(labels, dtype=torch.int64)}

    if hasattr(task, "_mix"):
        task._mix = task._erase = None  # they draw, which needs content
    network = transfer_network(config, run_config, classes, "fp32")
    return measured(task, batch), training_memory(settings(images), network, "fp32", gpus=1)


@pytest.mark.parametrize(
    ("run", "images"),
    [
        ("vit_b_800ep", 8),
        ("dino_vit_b", 2),
        ("moco_v3_vit_b", 2),
        pytest.param("default", 8, marks=pytest.mark.slow),
        pytest.param("swin_l_800ep", 8, marks=pytest.mark.slow),
        pytest.param("resnet50x4_300ep", 4, marks=pytest.mark.slow),
        pytest.param("head_inverse_swin_b", 4, marks=pytest.mark.slow),
        pytest.param("target_bins8_192", 8, marks=pytest.mark.slow),
        pytest.param("swin_v2_b_800ep_released", 8, marks=pytest.mark.slow),
        pytest.param("giant", 2, marks=pytest.mark.slow),
    ],
)
def test_a_pretraining(run, images):
    found, planned = pretraining(run, images)
    assert planned == pytest.approx(found, rel=0.1)


@pytest.mark.parametrize(
    ("run", "evaluation", "images", "classes"),
    [
        ("swin_v2_h_800ep", "finetune_512", 2, 1000),
        ("default", "segment", 2, 150),
        pytest.param("swin_l_800ep", "finetune", 8, 1000, marks=pytest.mark.slow),
        pytest.param("swin_l_800ep", "segment", 2, 150, marks=pytest.mark.slow),
        pytest.param("swin_v2_h_800ep", "segment", 2, 150, marks=pytest.mark.slow),
        pytest.param("vit_b_800ep", "finetune", 8, 1000, marks=pytest.mark.slow),
        pytest.param("resnet50x4_300ep", "finetune", 4, 1000, marks=pytest.mark.slow),
    ],
)
def test_a_transfer(run, evaluation, images, classes):
    found, planned = transfer(run, evaluation, images, classes)
    assert planned == pytest.approx(found, rel=0.1)


@pytest.mark.slow
def test_a_detection():
    """On tensors with content, which non-maximum suppression asks for."""
    config, run_config = SHEETS.evaluation("paper", "default", "detect"), SHEETS.pretraining("paper", "default")
    run_config = run_config.model_copy(update={"encoder": shortened(run_config.encoder)})
    section, side = config.encoder_of(run_config), config.settings.image_px
    encoder = plugin.build("encoders", section, image_px=(side, side), in_channels=3)
    draw = torch.Generator().manual_seed(0)
    corners = 600 * torch.rand(10, 2, generator=draw)
    target = {
        "boxes": torch.cat([corners, corners + 60 + 300 * torch.rand(10, 2, generator=draw)], 1),
        "labels": torch.arange(1, 11),
        "masks": torch.ones(10, side, side, dtype=torch.uint8),
    }
    images = torch.randint(0, 256, (1, 3, side, side), dtype=torch.uint8, generator=draw)
    mean = [0.5] * 3
    found = peak(Detector(encoder, mean, mean, 80, config.settings).train(), {"images": images, "targets": [target]})
    planned = training_memory(settings(1), transfer_network(config, run_config, 80, "fp32"), "fp32", gpus=1)
    assert planned == pytest.approx(found, rel=0.1)


@pytest.mark.parametrize(
    ("run", "evaluation", "weights", "an_image"),
    [("swin_v2_h_800ep", "finetune_512", 658e6, 1.8e9), ("swin_v2_g_22k_ext", "finetune_640", 3.0e9, 5.9e9)],
)
def test_the_largest_classifiers_are_scored_on_80_gb(run, evaluation, weights, an_image):
    """In float32 the first stage of SwinV2 needs the most at once: attention weights of large windows."""
    sheets = SHEETS.without_data
    config = sheets.evaluation("paper", run, evaluation)
    section = counted_section(config.encoder_of(sheets.pretraining("paper", run)))
    side = config.settings.image_px
    encoder = build_encoder(SizedEncoder(section.changed(depths=(2, 1, 1, 1)), (side, side), 3))
    with on_fake_device("fp32"), torch.no_grad(), Live(moved(encoder)) as live:
        before = live.now
        encoder(torch.empty(1, 3, side, side))
    assert live.most - before == pytest.approx(an_image, rel=0.1)
    assert 4 * weights + config.settings.score_batch * (live.most - before) < 0.8 * 80e9


def test_the_micro_batch_that_fits():
    network = pretraining_network(SHEETS.pretraining("paper", "vit_b_800ep"), "bf16")
    train = SHEETS.pretraining("paper", "vit_b_800ep").train
    small, large = (machine(name, 0.35, 8) for name in ("RTX4090", "A100"))
    assert fitting_micro_batch(train, network, "bf16", large) == train.micro_batch
    fits = fitting_micro_batch(train.model_copy(update={"micro_batch": 256}), network, "bf16", small)
    assert fits == 128  # the next divisor of 256 images a GPU would need 28 GB
    assert training_memory(train.model_copy(update={"micro_batch": 256}), network, "bf16", 8) > 24e9
