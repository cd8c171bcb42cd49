"""Detection and segmentation on every encoder: all that is trained gets a gradient, and a training goes on."""

import shutil

import pytest
import torch
from encoders.small import SMALL
from evaluation_tasks import task_of
from evaluations import ALONE, small

from simmim import plugin
from simmim.config.training import TrainSettings
from simmim.storage.identity import Identity
from simmim.train.loop import Run, fit

TRAINING = TrainSettings(
    epochs=1, batch=2, base_lr=1e-3, log_every_steps=1, save_every_steps=1, precision="fp32", workers=0
)
OWN = [name for name in plugin.names("encoders") if name != "timm"]
CONVOLUTIONAL = ["test_convnext2", "test_resnet", "regnetx_002"]
LARGER = ["swin_tiny_patch4_window7_224", "swinv2_tiny_window8_256", "deit_tiny_distilled_patch16_224"]
LARGER += ["beit_base_patch16_224", "vit_small_patch16_dinov3", "hiera_tiny_224"]
CASES = [("detect", encoder) for encoder in [*OWN, "test_vit", "test_vit4", *CONVOLUTIONAL]]
CASES += [("segment", encoder) for encoder in [*OWN, *CONVOLUTIONAL] if encoder != "vit"]  # not of one size only
CASES += [pytest.param("detect", encoder, marks=pytest.mark.slow) for encoder in LARGER]


@pytest.fixture
def dense(name, encoder, detection_shards, segmentation_shards):
    """Makes a dense task with small settings on an encoder, ours or timm's, with fresh weights."""
    shards = {"detect": detection_shards, "segment": segmentation_shards}[name]
    section = {"name": encoder, **SMALL[encoder]} if encoder in OWN else {"name": "timm", "model": encoder}
    section |= {"clamp_window": False} if encoder in ("swin", "swin_v2") else {}

    def made():
        torch.manual_seed(0)
        network = plugin.build("encoders", plugin.Component.model_validate(section), image_px=(64, 64))
        return task_of(name, small(name).settings, network, shards, training=TRAINING)

    return made


@pytest.mark.parametrize(("name", "encoder"), CASES)
def test_all_that_is_trained_gets_a_gradient(dense):
    """Processes that train together wait for the gradient of every parameter."""
    task = dense()
    module = task.module()
    module(task.dataset().__getitems__([(0, 0), (0, 1)])).backward()
    for name, parameter in module.named_parameters():
        assert (parameter.grad is not None) == parameter.requires_grad, name


@pytest.mark.parametrize(
    ("name", "encoder"), [("detect", "test_vit"), ("detect", "test_convnext2"), ("segment", "test_convnext2")]
)
def test_on_timm_a_training_goes_on(dense, tmp_path):
    def trained():
        task = dense()
        module = task.module()
        fit(module, task.dataset(), task.groups(module), TRAINING, Run(Identity({}, 0), tmp_path, "test"), ALONE)
        return module.state_dict()

    whole = trained()
    shutil.rmtree(max(tmp_path.iterdir()))
    resumed = trained()
    assert all(torch.equal(resumed[key], value) for key, value in whole.items())
