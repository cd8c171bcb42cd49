"""Batch norms in the loop: their running statistics resume to the same bits, and GPUs share their batches."""

import pytest
import torch
from tasks import Numbers
from test_loop import ALONE, assert_equal, train
from torch import nn

from simmim.encoders.resnet import ResNet
from simmim.encoders.timm import Timm
from simmim.train.processes import Processes, share_batch_statistics
from simmim.train.task import TrainTask


class Stripes(TrainTask):
    """A small ResNet that fits the sum of eight numbers, seen as rows of an image under a mask."""

    def __init__(self, checkpoint_activations: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)
        settings = {"stem_width": 2, "depths": [1, 1], "width_factor": 1, "drop_path": 0.3}
        self.encoder = ResNet(
            image_px=(16, 16), in_channels=1, checkpoint_activations=checkpoint_activations, **settings
        )
        self.head = nn.Linear(self.encoder.width, 1)

    def forward(self, batch):
        images = batch["x"].repeat_interleave(2, 1)[:, None, :, None].expand(-1, 1, 16, 16)  # [b, 1, H, W]
        hidden = (batch["x"][:, :4, None] > 0.5).expand(-1, 4, 4)
        return (self.head(self.encoder(images, hidden).mean((2, 3)))[:, 0] - batch["x"].sum(1)).abs().mean()


class Interrupted(Numbers):
    """Fails when the batch of step 6 is asked for; checkpoints are written every 4."""

    def __getitems__(self, keys):
        if len(self.seen) == 6 * 8:
            raise KeyboardInterrupt
        return super().__getitems__(keys)


@pytest.mark.parametrize("checkpoint_activations", [False, True])
def test_running_statistics_resume_to_the_same_bits(tmp_path, checkpoint_activations):
    expected, history = train(tmp_path / "whole", Stripes())
    assert expected["encoder.stem.1.num_batches_tracked"] == 15
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "cut", Stripes(checkpoint_activations), Interrupted())
    resumed, same = train(tmp_path / "cut", Stripes(checkpoint_activations))
    assert_equal(resumed, expected)
    assert same == history


def test_gpus_share_batch_statistics_and_nothing_else_changes():
    task = Stripes()
    parameters, names = list(task.parameters()), list(task.state_dict())
    for processes in (Processes(0, 1, torch.device("cuda")), Processes(0, 2, torch.device("cpu"))):
        share_batch_statistics(task, processes)
        assert not any(isinstance(module, nn.SyncBatchNorm) for module in task.modules())
    share_batch_statistics(task, Processes(0, 2, torch.device("cuda")))
    assert not any(type(module) is nn.BatchNorm2d for module in task.modules())
    assert all(one is other for one, other in zip(parameters, task.parameters(), strict=True))
    assert list(task.state_dict()) == names


@torch.no_grad()
def test_a_network_whose_batch_norms_hold_its_activations_computes_what_it_did():
    """PyTorch's own conversion keeps the norms of timm's RegNet and loses every ReLU."""
    network, images = nn.Sequential(Timm(model="regnetx_002", image_px=(64, 64))).eval(), torch.rand(1, 3, 64, 64)
    expected = network(images)
    share_batch_statistics(network, Processes(0, 2, torch.device("cuda")))
    torch.testing.assert_close(network(images), expected)


def test_the_loop_does_so_before_it_trains(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr("simmim.train.loop.share_batch_statistics", lambda *arguments: asked.append(arguments))
    task = Stripes()
    train(tmp_path, task)
    assert asked == [(task, ALONE)]
