"""What a training's records say of its speed: counted FLOPs, the peak they are held against, and the share of it."""

import pytest
import torch
from helpers.pretraining import ALONE
from torch import nn

from simmim.train import gpus, speed
from simmim.train.processes import Processes
from simmim.train.speed import ForwardFlops, cost, peak_tflops

CPU, CARD = torch.device("cpu"), torch.device("cuda", 0)
LOG = [{"device_seconds": 6.0, "wait_seconds": 1.0}, {"device_seconds": 4.0, "wait_seconds": 0.5}]


@pytest.mark.parametrize(
    ("name", "known"),
    [
        ("NVIDIA A100-SXM4-80GB", "A100"),
        ("NVIDIA A100 80GB PCIe", "A100"),
        ("NVIDIA A100-SXM4-80GB MIG 1g.10gb", None),
        ("NVIDIA H100 80GB HBM3", "H100"),
        ("NVIDIA H100 PCIe", None),
        ("NVIDIA H200", "H200"),
        ("NVIDIA H200 NVL", None),
        ("NVIDIA B200", "B200"),
        ("NVIDIA L40S", "L40S"),
        ("NVIDIA GeForce RTX 4090", "RTX4090"),
        ("NVIDIA GeForce RTX 4090 Laptop GPU", None),
        ("Tesla V100-SXM2-32GB", "V100"),
        ("Tesla T4", "T4"),
        ("NVIDIA GT4", None),
    ],
)
def test_a_card_is_known_by_its_drivers_name(name, known):
    assert gpus.of_driver_name(name) == (known and gpus.GPUS[known])


def test_flops_of_one_update_are_counted_once():
    network, images, part = nn.Linear(6, 5), torch.ones(8, 6), {}
    flops = ForwardFlops(part, images=16)
    for _ in range(2):  # micro-batches
        with flops.counted():
            loss = network(images).sum()
        loss.backward()  # not counted
    flops.update_is_done()
    assert part == {"forward_flops": 2 * 6 * 5}
    with flops.counted():
        network(images)
    flops.update_is_done()
    assert part == {"forward_flops": 2 * 6 * 5}


def test_counting_changes_no_bit():
    torch.manual_seed(0)
    network, images, flops = nn.Sequential(nn.Linear(64, 64), nn.GELU()), torch.randn(8, 64), ForwardFlops({}, 8)

    def gradient(counting):
        network.zero_grad()
        with torch.autocast("cpu", torch.bfloat16), counting:
            loss = network(images).square().mean()
        loss.backward()
        return network[0].weight.grad.clone()

    with flops.counted():
        pass  # imports what counts
    assert torch.equal(gradient(flops.counted()), gradient(torch.autocast("cpu", torch.bfloat16)))


def test_cost_is_that_of_all_devices_and_mfu_that_of_one(monkeypatch):
    monkeypatch.setattr(speed, "peak_tflops", lambda device, dtype: {None: 2e-9, torch.bfloat16: 4e-9}[dtype])
    two, part = Processes(0, 2, CPU), {"forward_flops": 50.0}
    found = cost(LOG, 100, part, two, None)
    assert found == {
        "train_seconds": 10.0,
        "images_per_second": 20.0,
        "data_wait": 15.0,
        "mfu": pytest.approx(100 * 3 * 50 * 10 / 2000),  # 10 images a second and device
        "peak_tflops": 2e-9,
    }
    assert cost(LOG, 100, part, two, torch.bfloat16)["mfu"] == pytest.approx(found["mfu"] / 2)


def test_a_training_without_updates_or_counted_flops_has_no_share():
    nothing = {"train_seconds": 0.0, "images_per_second": 0.0, "data_wait": 0.0}
    assert cost([], 0, {}, ALONE, None) == nothing
    assert cost(LOG, 100, {}, ALONE, None).keys() == nothing.keys()


def test_the_peak_is_the_data_sheets_in_the_format_that_it_is_printed_for(monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "NVIDIA H100 80GB HBM3")
    monkeypatch.setattr(speed, "_seconds", lambda matrix: 1.0)
    monkeypatch.setattr(torch, "ones", lambda *sides, **options: None)
    peak_tflops.cache_clear()
    assert peak_tflops(CARD, torch.bfloat16) == 989
    assert peak_tflops(CARD, None) == 2 * 8192**3 / 1e12  # measured: TF32 is chosen nowhere
    peak_tflops.cache_clear()


def test_a_cpus_peak_is_measured():
    assert 1e-4 < peak_tflops(CPU, None) < 1e3  # 0.1 GFLOP/s to a thousand of today's cores
