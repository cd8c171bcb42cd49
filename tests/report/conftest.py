"""Every kind of result file, made up once for all report tests."""

from __future__ import annotations

from pathlib import Path

import pytest
from made_up import (
    FACTS,
    FINETUNE,
    write_avg_dist,
    write_evaluation,
    write_mask_samples,
    write_reconstruction,
    write_size,
    write_training,
)

from simmim.storage.sealed_json import write_sealed


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
