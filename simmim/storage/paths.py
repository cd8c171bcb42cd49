"""Where every file of a scale lies, under `results/{scale}`; `{}` parts may be Snakemake wildcards."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from simmim.config.sheets import Sheets
    from simmim.report.scale_facts import ResultFile

_PRETRAINED = {"pretrain": "train.parquet", "reconstruction": "reconstruction.parquet"}


def packed(results: str, dataset: str, split: str) -> str:
    """Index of a packed data set; the shards lie beside it."""
    return f"{results}/data/{dataset}/{split}/index.json"


def pretrained(results: str, run: str, seed: int | str, file: str) -> str:
    """`encoder.safetensors`, `head.safetensors`, `train.parquet` or `reconstruction.parquet` of a pre-training run."""
    return f"{results}/pretrain/{run}/seed{seed}/{file}"


def first_stage(results: str, run: str, seed: int | str, file: str = "manifest.json") -> str:
    """A file of the checkpoint at a run's first milestone, where it and longer runs go on from."""
    return f"{results}/pretrain/{run}/seed{seed}/first_stage/{file}"


def tokenizer(results: str, name: str) -> str:
    """A tokenizer of config/tokenizers.tsv."""
    return f"{results}/tokenizers/{name}.safetensors"


def features(results: str, run: str, seed: int | str, name: str) -> str:
    """Folder of frozen features of a run; `name` is that of `evaluate.feature_sets`."""
    return f"{results}/features/{run}/seed{seed}/{name}"


def evaluated(results: str, run: str, evaluation: str) -> str:
    """Records of an evaluation, all seeds."""
    return f"{results}/evaluate/{run}/{evaluation}.parquet"


def fine_tuned(results: str, run: str, evaluation: str) -> str:
    """Folder of the encoders that a fine-tuning has trained, `seed0.safetensors` and so on."""
    return f"{results}/evaluate/{run}/{evaluation}.encoders"


def size(results: str, run: str) -> str:
    """Parameters and multiply-adds of a run, counted from the code."""
    return f"{results}/size/{run}.parquet"


def data_card(results: str) -> str:
    """What the demo's data are, measured and counted."""
    return f"{results}/source/data_card.json"


def masking(results: str, kind: str) -> str:
    """'avg_dist' or 'mask_samples' of the scale's masks, which need no training."""
    return f"{results}/{kind}.parquet"


def pretrained_files(results: str, sheets: Sheets, scale: str, run: str, file: str) -> list[str]:
    """One file of a run for each of its pre-training seeds."""
    return [pretrained(results, run, seed, file) for seed in range(sheets.pretraining(scale, run)["seeds"])]


def start_files(results: str, sheets: Sheets, scale: str, run: str, evaluation: str) -> list[str]:
    """The encoders that an evaluation starts from, pre-trained or fine-tuned, by the seed they were trained with."""
    start = sheets.evaluation(scale, run, evaluation).get("start")
    if not start:
        return pretrained_files(results, sheets, scale, run, "encoder.safetensors")
    folder = fine_tuned(results, run, start["evaluation"])
    return [f"{folder}/seed{seed}.safetensors" for seed in range(start["seeds"])]


def files(results: str, sheets: Sheets, scale: str, needs: Iterable[ResultFile]) -> list[str]:
    """The result files that a table or figure asks for."""
    found: list[str] = []
    for kind, run, evaluation in needs:
        if kind == "data_card":
            found.append(data_card(results))
        elif kind == "evaluate":
            found.append(evaluated(results, run, evaluation))
        elif kind == "size":
            found.append(size(results, run))
        elif kind in ("avg_dist", "mask_samples"):
            found.append(masking(results, kind))
        else:
            found += pretrained_files(results, sheets, scale, run, _PRETRAINED[kind])
    return found
