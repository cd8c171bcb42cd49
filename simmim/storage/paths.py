"""Where every file of a scale lies: no path is spelt anywhere else."""

from __future__ import annotations

import functools
import re

_SEED = "pretrain/{run}/seed{seed}"
# By kind of job, what it makes, below the folder of its scale.
OUTPUTS: dict[str, dict[str, str]] = {
    "demo_data": {"card": "source/data_card.json"},
    "pack": {"index": "data/{dataset}/{split}/index.json"},
    "tokenizer": {"tokenizer": "tokenizers/{tokenizer}.safetensors"},
    "first_stage": {"manifest": f"{_SEED}/first_stage/manifest.json"},  # beside files that depend on how it was trained
    "pretrain": {
        "encoder": f"{_SEED}/encoder.safetensors",
        "head": f"{_SEED}/head.safetensors",
        "records": f"{_SEED}/train.parquet",
    },
    "reconstruct": {"pictures": f"{_SEED}/reconstruction.parquet"},
    "features": {"folder": "features/{run}/seed{seed}/{features}"},
    "finetune": {"records": "evaluate/{run}/{evaluation}.parquet", "encoders": "evaluate/{run}/{evaluation}.encoders"},
    "evaluate": {"records": "evaluate/{run}/{evaluation}.parquet"},
    "size": {"records": "size/{run}.parquet"},
    "avg_dist": {"records": "avg_dist.parquet"},
    "mask_samples": {"pictures": "mask_samples.parquet"},
    "table": {ending: f"tables/{{name}}.{ending}" for ending in ("parquet", "md", "html")},
    "figure": {"png": "figures/{name}.png"},
    "page": {"html": "report.html"},
}


def pattern(results: str, kind: str, role: str) -> str:
    """Where a kind of job puts an output, with the wildcards of Snakemake in it.

    Args:
        results: folder of all scales.
    """
    return f"{results}/{{scale}}/{OUTPUTS[kind][role]}"


def match(results: str, file: str) -> tuple[str, dict[str, str]] | None:
    """The kind of job that makes a file, and its wildcards; None for a file that no job makes."""
    for kind, roles in OUTPUTS.items():
        for role in roles:
            if found := re.fullmatch(_as_regex(pattern(results, kind, role)), file):
                return kind, found.groupdict()
    return None


@functools.cache
def _as_regex(pattern: str) -> str:
    """A pattern with wildcards as a regular expression; one that comes twice must be the same."""
    seen: set[str] = set()
    parts = []
    for text, name in re.findall(r"([^{]*)(?:\{(\w+)\})?", pattern):
        parts.append(re.escape(text))
        if name:
            parts.append(f"(?P={name})" if name in seen else rf"(?P<{name}>\w+)")
            seen.add(name)
    return "".join(parts)
