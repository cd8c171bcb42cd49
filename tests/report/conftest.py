"""Every kind of result file, made up once for all report tests."""

from __future__ import annotations

from pathlib import Path

import pytest
from made_up import (
    FACTS,
    FINETUNE,
    SCALE,
    write_avg_dist,
    write_evaluation,
    write_mask_samples,
    write_mechanism,
    write_reconstruction,
    write_size,
    write_training,
)

from simmim.report.page import write_page
from simmim.report.write import write_figure, write_table
from simmim.storage.sealed_json import write_sealed

# The tables and figures of a made-up page, and the kinds of results that each is made from.
TABLES = {
    "table1": "finetune",
    "table4": "finetune",
    "data": "data_card finetune",
    "directions": "finetune",
    "pretraining": "pretrain",
    "probe": "probe",
    "scratch": "finetune probe detect",
}
PICTURED = ("figure1", "figure4", "figure5", "figure6", "reconstructions")
FIGURES = dict.fromkeys(PICTURED, "reconstruction")
FIGURES |= {"figure2": "mask_samples", "figure3": "avg_dist finetune", "figure7": "avg_dist finetune detect"}
FIGURES |= {"losses": "pretrain", "scratch": "finetune probe detect"}
FIGURES |= dict.fromkeys(("mechanism", "mechanism_cka"), "mechanism")


@pytest.fixture(scope="session")
def results(tmp_path_factory) -> dict[str, list[Path]]:
    """Files by kind: 'finetune', 'probe', 'detect', and the kinds of `ResultFile` but 'evaluate'."""
    root = tmp_path_factory.mktemp("results")
    blocks = {("top1", f"block {b}"): [20 + 2 * b, 21 + 2 * b, 22 + 2 * b] for b in range(1, 12)}
    chosen = {("top1", "chosen"): [36, 37, 42], ("chosen_block", ""): [8, 8, 10]}
    on_two_sets = {("top1", ""): [60, 61, 62], ("top1", "v2"): [50, 52, 54]}
    runs = FINETUNE
    card = {
        "sources": [{"package": "made-up", "version": "1", "files": [], "what": "Nothing real", "terms": "No licence"}],
        "split": {"rule": "even and odd"},
        "counts": {"classify": {"train": {"a": 3, "b": 4}, "val": {"a": 1, "b": 2}}},
        "colour_baselines": {"top1_all_labels": {"colour histogram": 33.3}},
        "weaknesses": ["Made up <by hand>."],
    }
    write_sealed(root / "data_card.json", card)
    return {
        "finetune": [write_evaluation(root, r, "finetune", {("top1", ""): [v - 1, v, v + 1]}) for r, v in runs.items()],
        "probe": [write_evaluation(root, run, "probe", blocks | chosen) for run in ("default", "random_swin")],
        "detect": [write_evaluation(root, r, "detect", {("box_ap", ""): [9.0]}) for r in ("default", "random_swin")],
        "mechanism": [write_mechanism(root, run) for run in ("default", "loss_full", "random_swin")]
        + [write_mechanism(root, "vit", blocks=3, heads=0, seeds=1)],
        "pretrain": [write_training(root, run, seed) for run in FACTS.loss_areas for seed in (0, 1)],
        "reconstruction": [write_reconstruction(root, "default")],
        "extra_validation": [
            write_evaluation(root / "v2", r, "finetune", on_two_sets) for r in ("default", "loss_full")
        ],
        "size": [write_size(root, "default")],
        "data_card": [root / "data_card.json"],
        "avg_dist": [write_avg_dist(root)],
        "mask_samples": [write_mask_samples(root)],
    }


@pytest.fixture(scope="session")
def report(results, tmp_path_factory) -> Path:
    """A report page of made-up results."""
    folder = tmp_path_factory.mktemp("page")
    for name, kinds in TABLES.items():
        inputs = [path for kind in kinds.split() for path in results[kind]]
        write_table(name, inputs, folder / "tables" / name, FACTS)
    for name, kinds in FIGURES.items():
        inputs = [path for kind in kinds.split() for path in results[kind]]
        write_figure(name, inputs, folder / name, FACTS)
    tables, figures = [folder / "tables" / f"{name}.parquet" for name in TABLES], [folder / f"{n}.png" for n in FIGURES]
    write_page(folder / "report.html", SCALE, tables, figures, results["data_card"][0])
    return folder / "report.html"
