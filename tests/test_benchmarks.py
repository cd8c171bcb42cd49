"""The comparisons of speed still run, and their numbers are what they say."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

ROOT = Path(__file__).parents[1]
sys.path.append(str(ROOT / "benchmarks"))

import gpu  # noqa: E402
from measure import compare, table  # noqa: E402

from simmim.train.processes import Processes  # noqa: E402


def test_ratios_are_those_of_neighbours_in_time():
    """A machine that becomes slower by a half in the second turn changes rates and no ratio."""
    now, slowness, turns = 0.0, 1.0, iter([1.0, 1.0, 2.0, 4.0])

    def way(seconds):
        nonlocal now
        now += seconds * slowness
        return 10

    def base():
        nonlocal slowness
        slowness = next(turns)
        return way(1.0)

    rows = compare("work", {"theirs": base, "ours": lambda: way(0.25)}, 3, {"ours": 3.0}, clock=lambda: now)
    assert [(row.way, row.rate, row.ratio, row.low, row.high) for row in rows] == [
        ("theirs", 5.0, 1.0, 1.0, 1.0),
        ("ours", 20.0, 4.0, 4.0, 4.0),
    ]
    assert "| work | ours | 20 | 4.00x | 4.00, 4.00 | 3x |" in table(rows)


@pytest.mark.slow
def test_every_comparison_runs(tmp_path):
    random = np.random.default_rng(0)
    for number in range(8):
        Image.fromarray(random.integers(0, 256, (90, 120, 3), dtype=np.uint8)).save(tmp_path / f"{number}.jpg")
    command = [sys.executable, "benchmarks/bench.py", "--quick", "--images", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=500, check=True)
    works = "loader", "packing, one process", "step micro, batch 2", "step by head, Swin-B", "masks", "features"
    works += "activations kept, micro, images a GiB", "data and step, micro, batch 128"
    for work in (*works, "vote of 20 neighbours", "COCO's box AP", "planning", "starts"):
        assert f"| {work} |" in done.stdout, done.stdout
    assert "left out" not in done.stdout


@pytest.mark.slow
def test_what_a_gpu_does_is_measured_and_written_down(tmp_path, monkeypatch):
    """On the CPU, which answers in the place of a card: the numbers mean nothing, the columns are all there."""
    for name in ("empty_cache", "reset_peak_memory_stats"):
        monkeypatch.setattr(torch.cuda, name, lambda: None)
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda *_: 2 * 10**9)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda *_: "NVIDIA H100 80GB HBM3")
    monkeypatch.setattr(gpu, "UPDATES", 1)
    monkeypatch.setattr(gpu, "BATCH", 2)
    monkeypatch.setattr(gpu, "FEEDS", {"raw pixels": ("rgb8", 256, "device", 0)})
    monkeypatch.setattr(gpu, "COMPILE", "off")
    for number in range(4):
        Image.new("RGB", (320, 300), (40 * number, 90, 120)).save(tmp_path / f"{number}.jpg")
    device = torch.device("cpu")
    rows = [gpu.steps_of("micro", way, 2, 0.1, device) for way in ("released", "ours")]
    rows += [*gpu.fed(tmp_path, 4, Processes(0, 1, device))]
    shown = gpu.page(pd.DataFrame([row | gpu.card(device) for row in rows]))
    assert shown.startswith("On one NVIDIA H100 80GB HBM3, whose peak is 989 TFLOP/s")
    lines = [line.split(" | ") for line in shown.splitlines()[4:]]
    assert [line[1] for line in lines] == ["released", "ours", "raw pixels"]
    assert all(float(line[3]) > 0 and "%" in line[4] and line[5] == "2.0" for line in lines[:2])
    assert all(cell for cell in lines[2][:6]) and "%" in lines[2][7]


def test_what_needs_images_says_so(tmp_path):
    command = [sys.executable, "benchmarks/bench.py", "loader", "--quick", "--images", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=200, check=True)
    assert f"loader left out: {tmp_path} holds no JPEG" in done.stdout
