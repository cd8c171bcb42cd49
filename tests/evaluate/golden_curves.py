"""Losses and scores of a small evaluation of every task; run as a script, writes them to tests/golden/curves.

PYTHONPATH=.:tests/evaluate python tests/evaluate/golden_curves.py [TASK ...]
"""

import json
import platform
import sys
import tempfile
from pathlib import Path

import torch
from evaluations import ALONE, evaluated, made_encoder, made_sets, small

from simmim import NUMERICS, plugin
from simmim.train import speed

FOLDER = Path(__file__).parents[1] / "golden" / "curves"


def measured(task, folder, processes=ALONE, settings=None):
    """Losses by step, and scores by metric and part, of `small(task, settings)` on one thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    dense = task if task in ("detect", "segment") else ""
    config = small(task, settings)
    encoder = made_encoder(folder / "encoder.safetensors")
    rows, _ = evaluated(config, [encoder], made_sets(folder, dense), folder / "a.parquet", processes)
    torch.set_num_threads(threads)
    losses = rows[rows["metric"] == "train_loss"]["value"].tolist()
    scores = rows[~rows["metric"].isin({"train_loss", "loss_spikes", *speed.METRICS})]
    keys = (scores["metric"] + " " + scores["part"]).str.strip()
    return {"losses": losses, "scores": dict(zip(keys, scores["value"].tolist()))}


def write(task):
    """Make the golden file of a task anew."""
    with tempfile.TemporaryDirectory() as folder:
        values = measured(task, Path(folder))
    provenance = {
        "made_by": "tests/evaluate/golden_curves.py",
        "numerics": {stage: NUMERICS[stage] for stage in ("data", "evaluate")},
        "torch": torch.__version__,
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "machine": platform.machine(),
    }
    FOLDER.mkdir(exist_ok=True)
    dense = plugin.task_settings(task).is_dense
    tolerance = {"first_losses": 1e-5, "later_losses": 2e-2 if dense else 1e-4, "scores": 8.0 if dense else 1e-3}
    text = json.dumps({"provenance": provenance, "tolerance": tolerance, **values}, indent=1)
    (FOLDER / f"evaluate_{task}.json").write_text(text + "\n")


if __name__ == "__main__":
    for name in sys.argv[1:] or plugin.names("evaluate"):
        write(name)
