"""Made-up results: round numbers that no measurement gives, in the files that training and evaluation write."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pyarrow as pa
from PIL import Image

from simmim.config.claims import WITH_TOLERANCE, claim_of
from simmim.config.rows import ClaimRow
from simmim.report.scale_facts import Evaluated, MaskName, Misfit, ScaleFacts
from simmim.storage.parquet import write_sealed
from simmim.storage.records import Origin, record, write

SCALE = "made-up"


def claim(first: str, relation: str, second: str) -> ClaimRow:
    tolerance = "1" if relation in WITH_TOLERANCE else ""
    words = {"claim": f"{first} is {relation} {second}", "section": "4.1", "tolerance": tolerance, "paper": "+1.1"}
    return ClaimRow(**words, first=first, relation=relation, second=second, evaluation="finetune", metric="top1")


# Fine-tuning top-1 by run: loss_full is made better than default, which contradicts the paper.
FINETUNE = {"default": 60, "loss_full": 70, "random_swin": 50, "vit": 40, "random_vit": 41}


def cell(run: str, value: str, evaluation: str = "finetune", metric: str = "top1") -> dict[str, str]:
    return {"run": run, "evaluation": evaluation, "metric": metric, "value": value, "note": ""}


PAPER = {
    ("table1", "random 32", "top-1 (%)"): cell("default", "82.8"),
    ("table1", "random 4", "top-1 (%)"): cell("mask_r4", "82.0"),
    ("table1", "block 32", "top-1 (%)"): cell("mask_block", "82.6"),
    ("table4", "masked area", "top-1 (%)"): cell("default", "82.8"),
    ("table4", "full image", "top-1 (%)"): cell("loss_full", "81.7"),
    ("table5", "256-bin", "top-1 (%)"): cell("loss_full", "N/A"),
    ("table5", "clusters", "top-1 (%)"): cell("", "N/A", "", "") | {"note": "the paper has no such run"},
    ("table2", "linear", "cost"): cell("default", "1x", "pretrain", "relative_cost") | {"against": "default"},
    ("table2", "full", "cost"): cell("loss_full", "~1.2x", "pretrain", "relative_cost") | {"against": "default"},
    ("table2", "absent", "cost"): cell("vit_l", "2x", "pretrain", "relative_cost") | {"against": "default"},
    ("table2", "linear", "loss"): cell("default", "0.3743", "pretrain", "loss"),
    ("table2", "full", "loss"): cell("loss_full", "0.4", "pretrain", "loss"),
    ("table7", "ours", "parameters"): cell("default", "3.0B", "size", "finetune_parameters_millions"),
    ("table7", "giant", "top-1 (%)"): cell("giant", "90.2"),
    ("table8", "depths", "ours"): cell("default", "2,2,18,2", "pretrain", "encoder.depths"),
    ("table8", "depths", "absent"): cell("vit_l", "2,2,18,2", "pretrain", "encoder.depths"),
}
PAPER_OF_MASKS = {
    ("figure3a", "dots", "ratio 0.4"): cell("mask_r40", "12.7", "pretrain", "avg_dist") | {"x": "0.4"},
    ("figure3a", "dots", "ratio 0.6"): cell("default", "17.4", "pretrain", "avg_dist") | {"x": "0.6"},
    ("figure3a", "blocks", "ratio 0.6"): cell("mask_block", "31.7", "pretrain", "avg_dist") | {"x": "0.6"},
    ("figure7", "dots", "ImageNet top-1 (%)"): cell("default", "82.8") | {"x": "17.5"},
    ("figure7", "dots", "COCO box AP"): cell("default", "50.1", "detect", "box_ap") | {"x": "17.5"},
    ("figure7", "blocks", "ImageNet top-1 (%)"): cell("mask_block", "82.5") | {"x": "31.8"},
    ("figure7", "blocks", "COCO box AP"): cell("mask_block", "49.5", "detect", "box_ap") | {"x": "31.8"},
}
CLAIMS = (
    claim("default", "better than", "loss_full"),
    claim("loss_full", "better than", "default"),
    claim("default", "close to", "loss_full"),
    claim("loss_full", "not worse than", "default"),
    claim("default", "better than", "mask_block"),
)
RANDOM = MaskName("random", 32, "random, 32 px")
BLOCK = MaskName("block-wise", 32, "block-wise, 32 px")
FACTS = ScaleFacts(
    scale=SCALE,
    reference="default",
    misfits={
        "mask_r4": Misfit(
            "does not fit this scale", "geometry.masked_patch_px of 4 px in the paper has no counterpart"
        ),
        "giant": Misfit("needs data that is not public", "it was never released"),
    },
    trained=("default", "loss_full", "vit", "mask_block"),
    pretrainings=dict.fromkeys((*FINETUNE, "mask_block"), 3),
    countable=("default", "loss_full", "vit", "mask_block", "giant"),
    encoders=dict.fromkeys(("default", "loss_full", "mask_block", "random_swin"), "swin")
    | dict.fromkeys(("vit", "random_vit"), "vit"),
    baselines={"default": "random_swin", "loss_full": "random_swin", "vit": "random_vit"},
    loss_areas={"default": "masked", "loss_full": "full", "vit": "masked"},
    losses={"default": "l1, masked", "loss_full": "l1, full", "vit": "l1, masked"},
    lengths={"default": 64, "loss_full": 640, "vit": 6400},
    masks={"default": RANDOM, "mask_block": BLOCK, "mask_r40": RANDOM},
    fitting_masks={"default": 8, "mask_block": 8},
    evaluated={
        (run, name): Evaluated({"probe": "linear_probe"}.get(name, name), "detect" if name == "detect" else "classify")
        for run in FINETUNE
        for name in ("finetune", "probe", "detect")
    },
    settings={("default", "pretrain", "encoder.depths"): "1,2"},
    run_labels={"default": "the default", "random_swin": "from scratch, Swin"},
    evaluation_labels={"finetune": "fine-tuning", "probe": "linear probe", "detect": "detection"},
    headline_metrics=("top1", "box_ap", "mask_ap", "miou"),
    figure_runs={
        "figure1": ("default",),
        "figure4": ("default",),
        "figure5": ("default", "loss_full"),
        "figure6": ("default", "mask_r4"),
    },
    paper=PAPER | PAPER_OF_MASKS,
    table_titles={"table4": "Table 4: scope of the loss"},
    table_sections={"table4": "Beside the paper"},
    claims=tuple(claim_of(row, SCALE) for row in CLAIMS),
    data_words="made-up tiles",
    has_data_card=True,
    extra_sets=("v2",),
)


def origin(run: str, task: str, seed: int, scale: str = SCALE) -> Origin:
    return Origin(scale, run, task, seed, f"config-{run}-{task}", "commit+code", "made_up", "data-digest")


def write_evaluation(root: Path, run: str, task: str, values: dict, scale: str = SCALE) -> Path:
    """`values`: (metric, part) to one value per seed; a part that is one of `FACTS.extra_sets` is such a set."""
    rows = [
        record(origin(run, task, seed, scale), 40, metric, value, part if part not in FACTS.extra_sets else "")
        | ({"dataset": part} if part in FACTS.extra_sets else {})
        for (metric, part), seeds in values.items()
        for seed, value in enumerate(seeds)
    ]
    rows += [record(origin(run, task, 0, scale), step, "train_loss", 3 / step) for step in (10, 20, 30, 40)]
    path = root / "evaluate" / run / f"{task}.parquet"
    write(path, rows)
    return path


def write_mechanism(root: Path, run: str, blocks: int = 4, heads: int = 2, seeds: int = 3) -> Path:
    """Distances of 10 px a block and 2 px a head, amplitudes that fall with frequency, CKA with distance."""
    numbers = range(1, blocks + 1)
    values = {("attention_distance", f"block {b} head {h}"): 10 * b + 2 * h for b in numbers for h in range(heads)}
    values |= {("attention_nmi", f"block {b} head {h}"): 0.1 * b for b in numbers for h in range(heads)}
    values |= {("fourier_log_amplitude", f"block {b} frequency {f}"): -b * f for b in numbers for f in (0.5, 1)}
    values |= {("cka", f"block {a} block {b}"): 1 - 0.2 * (b - a) for a in numbers for b in numbers if a < b}
    return write_evaluation(root, run, "mechanism", {name: [value] * seeds for name, value in values.items()})


def write_training(root: Path, run: str, seed: int, validation_loss: float | None = None, device: str = "") -> Path:
    rows = [
        record(origin(run, "pretrain", seed), step, "loss", 0.4 + (0.5 + 0.01 * seed) * np.exp(-step / 100))
        for step in range(10, 500, 10)
    ]
    rows += [record(origin(run, "pretrain", seed), 490, "validation_loss", validation_loss or 0.25 + 0.01 * seed)]
    rows += [record(origin(run, "pretrain", seed), 490, "validation_loss_mean_colour", 0.5)]
    seconds = 300 + 10 * seed if run == "loss_full" else 200
    rows += [record(origin(run, "pretrain", seed), 490, "train_seconds", seconds)]
    path = root / "pretrain" / run / f"seed{seed}" / "train.parquet"
    write(path, rows, environment={"device": device})
    return path


def write_size(root: Path, run: str) -> Path:
    values = {"parameters_millions": 3100.24, "finetune_parameters_millions": 2987.76}
    path = root / "size" / f"{run}.parquet"
    write(path, [record(origin(run, "size", 0), 0, metric, value) for metric, value in values.items()])
    return path


def write_avg_dist(root: Path) -> Path:
    """Of two runs; only one of them is fine-tuned."""
    rows = []
    for run, tokens in (("default", 5.0), ("mask_block", 10.0)):
        rows += [record(origin(run, "pretrain", 0), 0, "avg_dist", tokens, "tokens")]
        rows += [record(origin(run, "pretrain", 0), 0, "avg_dist", tokens - 1, "pixels")]
        rows += [record(origin(run, "pretrain", 0), 0, "hidden_share", 0.625)]
    write(root / "avg_dist.parquet", rows)
    return root / "avg_dist.parquet"


def write_mask_samples(root: Path) -> Path:
    """Two red images under masks of the left half, and under one that does not fit."""
    image, hidden = np.zeros((32, 32, 3)), np.zeros((32, 32))
    image[..., 0], hidden[:, :16] = 200, 255
    kinds = {"square": png(hidden), "random, 4 px": b"", "random, 16 px": png(hidden), "random, 32 px": png(hidden)}
    rows = [
        {
            "scale": SCALE,
            "kind": kind,
            "ratio": 0.6,
            "masked_patch_px": 8 if area else None,
            "hidden": area,
            "sample_id": name,
            "image": png(image),
        }
        for kind, area in kinds.items()
        for name in ("image 0", "image 1")
    ]
    write_sealed(root / "mask_samples.parquet", pa.Table.from_pylist(rows))
    return root / "mask_samples.parquet"


def png(pixels: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels.astype(np.uint8)).save(stream, "png")
    return stream.getvalue()


def write_reconstruction(root: Path, run: str, seed: int = 0, images: int = 6, outlined: int = 3) -> Path:
    """Each image is one red, its prediction one blue; the left half is hidden, of most of a region all but a column."""
    hidden, most = np.zeros((32, 32)), np.zeros((32, 32))
    hidden[:, :16], most[:, :15] = 255, 255
    base = {"scale": SCALE, "run": run, "seed": seed, "step": 490}
    base |= {"config_hash": f"config-{run}-pretrain", "data_digest": "data-digest", "code_version": "commit+code"}
    red, blue = np.zeros((32, 32, 3)), np.zeros((32, 32, 3))
    red[..., 0], blue[..., 2] = 200, 200
    masks = {"own": png(hidden), "most": png(most), "all": png(hidden)}
    content = {"image": png(red), "prediction": png(blue)}
    regions = ["object" if i < outlined else "central box" for i in range(images)]
    path = root / "pretrain" / run / f"seed{seed}" / "reconstruction.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [
        base | content | {"sample_id": f"image {i}", "region": region, "mask": mask, "hidden": area}
        for mask, area in masks.items()
        for i, region in enumerate(regions)
    ]
    write_sealed(path, pa.Table.from_pylist(rows))
    return path
