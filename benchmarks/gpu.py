"""Pre-training on a GPU: images a second, share of the card's peak and memory; ours, compiled, and the released way.

    python benchmarks/gpu.py [swin_b vit_b] [--batches 64 128 256] [--images FOLDER] [--seconds 2]
    python benchmarks/gpu.py --page            writes the tables of docs/performance.md from benchmarks/gpu.parquet

Networks, steps and the released way are those of `steps.py`, in bfloat16 and with the fused AdamW for both. With
--images whole trainings of the paper's default row follow, as the pipeline runs them, fed from packed files.
"""

from __future__ import annotations

import argparse
import gc
import itertools
import tempfile
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from measure import jpegs, linked, put_between
from steps import Released, batch_for, ours, step_of
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from simmim.config.sheets import Sheets
from simmim.data.packing import pack
from simmim.data.shards import Shards
from simmim.data.sources.image_folder import ImageFolder
from simmim.layers.blocks import blocks_of
from simmim.pretraining.run import pretrain
from simmim.storage import records
from simmim.train import speed
from simmim.train.compiled_blocks import Blocks
from simmim.train.gpus import of_driver_name
from simmim.train.processes import Processes, autocast_dtype, joined_processes
from simmim.train.sharding import clip_gradients

ROOT = Path(__file__).parents[1]
PAGE, RECORDS = ROOT / "docs" / "performance.md", ROOT / "benchmarks" / "gpu.parquet"
BEGIN, END = "<!-- made by benchmarks/gpu.py -->\n", "<!-- end of the GPU's -->\n"
WAYS = "released", "ours", "ours, compiled"
# Codec and short side of a packed set, where its crops are cut, worker processes.
FEEDS = {
    "compiled, JPEG 256 px, 14 workers": ("jpeg", 256, "host", 14),
    "compiled, raw pixels 256 px, 14 workers": ("rgb8", 256, "host", 14),
    "compiled, raw pixels 256 px, crops on the GPU": ("rgb8", 256, "device", 0),
}
UPDATES, BATCH, COMPILE = 60, 256, "on"  # of a fed training


def steps_of(shape: str, way: str, size: int, seconds: float, device: torch.device) -> dict[str, Any]:
    """What updates of one size do; without numbers where they do not fit."""
    row: dict[str, Any] = {"work": shape, "way": way, "batch": size}
    try:
        return row | _measured(shape, way, size, seconds, device)
    except torch.OutOfMemoryError:
        return row | {"note": "out of memory"}
    finally:
        gc.collect()
        torch.cuda.empty_cache()


def _measured(shape: str, way: str, size: int, seconds: float, device: torch.device) -> dict[str, Any]:
    dtype, batch = autocast_dtype("auto", device), batch_for(shape, size, device)
    module: nn.Module = Released(shape) if way == "released" else ours(shape)
    clip = nn.utils.clip_grad_norm_ if way == "released" else clip_gradients
    flops = forward_flops(module.to(device), batch_for(shape, 2, device)) / 2
    blocks = Blocks(list(blocks_of(module))) if way.endswith("compiled") else None
    running: AbstractContextManager[None] = blocks.running() if blocks else nullcontext()
    step = step_of(module, batch, dtype, True, clip)
    with running:
        began = time.perf_counter()
        step()
        first = time.perf_counter() - began
        torch.cuda.reset_peak_memory_stats()
        for _ in range(3):
            step()
        began, done = time.perf_counter(), 0
        while time.perf_counter() - began < seconds:
            done += step()
        rate = done / (time.perf_counter() - began)
    return {
        "images_per_second": rate,
        "mfu": 100 * 3 * flops * rate / (1e12 * speed.peak_tflops(device, dtype)),
        "peak_gb": torch.cuda.max_memory_allocated() / 1e9,
        "first_step_seconds": first,
    }


def forward_flops(module: nn.Module, batch: dict[str, torch.Tensor]) -> int:
    """Of a forward pass of a batch."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        module(batch)
    return counter.get_total_flops()


def fed(files: Path, images: int, processes: Processes) -> Iterator[dict[str, Any]]:
    """Whole trainings of the paper's default row, with each way to feed them."""
    for codec, short_side_px in {(codec, short_side_px) for codec, short_side_px, _, _ in FEEDS.values()}:
        with linked(jpegs(files, images)) as source, tempfile.TemporaryDirectory() as scratch:
            packed = Path(scratch) / "packed"
            pack(ImageFolder(str(source)), packed, codec=codec, shard_samples=1000, short_side_px=short_side_px)
            for name, (packed_as, _, crop_on, workers) in FEEDS.items():
                if packed_as == codec:
                    yield {"work": "training of swin_b", "way": name, "batch": BATCH} | _trained(
                        packed, crop_on, workers, Path(scratch) / name, processes
                    )


def _trained(packed: Path, crop_on: str, workers: int, out: Path, processes: Processes) -> dict[str, Any]:
    """What the records of a training say of its speed."""
    row = Sheets(ROOT / "config").pretraining("paper", "default")
    settings = {
        "batch": BATCH,
        "micro_batch": BATCH,
        "epochs": UPDATES * BATCH / len(Shards(packed)),
        "compile": COMPILE,
    }
    settings |= {"warmup_epochs": 0, "workers": workers, "log_every_steps": 20}
    images = row.images.model_copy(update={"crop_on": crop_on})
    config = row.model_copy(update={"train": row.train.model_copy(update=settings), "images": images})
    pretrain(config, 0, {"train": packed, "val": packed}, out, processes)
    frame = records.read([out / "train.parquet"])
    found = frame[frame["metric"].isin(["images_per_second", "mfu", "data_wait"])].groupby("metric")["value"].last()
    return {**found, "peak_gb": records.metadata(out / "train.parquet")["peak_bytes"] / 1e9}


def card(device: torch.device) -> dict[str, str]:
    """What was measured on."""
    return {"card": torch.cuda.get_device_name(device), "torch": torch.__version__, "cuda": str(torch.version.cuda)}


def page(frame: pd.DataFrame) -> str:
    """The table in Markdown."""
    on = frame.iloc[0]
    gpu = of_driver_name(on["card"])
    peak = f", whose peak is {gpu.peak_tflops:g} TFLOP/s ({gpu.source})" if gpu else ""
    lines = [f"On one {on['card']}{peak}; torch {on['torch']}, CUDA {on['cuda']}.\n"]
    columns = {
        "batch": "{:.0f}",
        "images_per_second": "{:.0f}",
        "mfu": "{:.1f} %",
        "peak_gb": "{:.1f}",
        "first_step_seconds": "{:.0f}",
        "data_wait": "{:.0f} %",
    }
    heads = ["work", "way", "batch", "images a second", "MFU", "peak GB", "s to the first step", "waits for data"]
    lines += [f"| {' | '.join(heads)} |", f"|{' --- |' * len(heads)}"]
    for _, row in frame.iterrows():
        cells = [form.format(row[name]) if pd.notna(row.get(name)) else "" for name, form in columns.items()]
        note = row.get("note")
        cells[1] = note if isinstance(note, str) else cells[1]
        lines.append(f"| {row['work']} | {row['way']} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def write_page() -> None:
    """Put the table in place of the one before."""
    put_between(PAGE, BEGIN, END, f"\n{page(pd.read_parquet(RECORDS))}\n")


def main() -> None:
    """Measure and write down, or write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shapes", nargs="*", default=["swin_b", "vit_b"])
    parser.add_argument("--batches", type=int, nargs="+", default=[64, 128, 256])
    parser.add_argument("--images", type=Path, help="a folder of JPEGs")
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--out", type=Path, default=RECORDS)
    parser.add_argument("--page", action="store_true")
    options = parser.parse_args()
    if options.page:
        return write_page()
    if not torch.cuda.is_available():
        raise SystemExit("there is no GPU here; --page writes what was measured on one")
    rows: list[dict[str, Any]] = []
    with joined_processes() as processes:
        device = processes.device
        todo = itertools.product(options.shapes, options.batches, WAYS)
        steps = (steps_of(shape, way, size, options.seconds, device) for shape, size, way in todo)
        for found in itertools.chain(steps, fed(options.images, 300, processes) if options.images else ()):
            rows.append(found | card(device))
            pd.DataFrame(rows).to_parquet(options.out, index=False)
            print(page(pd.DataFrame(rows[-1:])).splitlines()[-1], flush=True)
    return None


if __name__ == "__main__":
    main()
