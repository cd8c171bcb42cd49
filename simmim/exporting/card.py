"""The model card beside an export: what the weights are, where they come from, what was measured, how to load them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from torch import nn

from simmim.config.evaluate_models import PRETRAINED
from simmim.exporting.trial import Draft
from simmim.storage import records
from simmim.storage.paths import pattern

_METHODS = {
    "simmim": "SimMIM, masked image modelling (arXiv 2111.09886)",
    "dino": "DINO (arXiv 2104.14294)",
    "moco_v3": "MoCo v3 (arXiv 2104.02057)",
}
_UNSAID = "pre-trained without labels; its file, of an older version, does not say by which method"
_OF_TRAINING = ("validation_loss", "validation_loss_mean_colour")


def card(
    source: Path,
    header: Mapping[str, Any],
    encoder: nn.Module,
    to: str,
    load: str,
    difference: float,
    draft: Draft,
) -> str:
    """The text of README.md.

    Args:
        source: the encoder file; records of its run beside it are read for their numbers.
        difference: of the features that were compared.
    """
    section = dict(header["encoder"])
    name = section.pop("name")
    height, width = header["image_px"]
    parameters = sum(parameter.numel() for parameter in encoder.parameters())
    compared = " x ".join(map(str, draft.image_px))
    lines = [
        "---",
        f"library_name: {to if to in ('timm', 'transformers', 'onnx') else 'pytorch'}",
        f"tags: [{_tags(header)}]",
        "---",
        f"# {header.get('run') or header.get('origin', {}).get('released_as') or source.stem}",
        "",
        f"An encoder `{name}`, {_training(header)}.",
        "",
        f"- **Architecture**: {', '.join(f'{key} {value}' for key, value in section.items()) or 'as by default'}; "
        f"{parameters / 1e6:.1f} M parameters",
        f"- **Input**: {header['in_channels']} channels of {height} x {width} px in [0, 1], less the mean "
        f"{_numbers(header['mean'])}, over {_numbers(header['std'])}",
        *_origin(header),
        "- **Licence**: that of the images it was trained on decides; nothing here grants one",
        "",
        "## To load it",
        "",
        "```python",
        load,
        "```",
        "",
        f"These lines were run before the files were kept: at {compared} px their features differ from the encoder's "
        f"by {difference:.1e} at most (allowed {draft.tolerance:.0e}). The mask token of pre-training is left out.",
        *draft.remarks,
        "",
        *_measured(source, header),
    ]
    return "\n".join(lines) + "\n"


def _method(header: Mapping[str, Any]) -> str | None:
    """What it was pre-trained by; "" by nothing, None where its file does not tell."""
    if "run" in header:
        return header.get("method")
    return "simmim" if header.get("origin", {}).get("fine_tuned") is False else None


def _tags(header: Mapping[str, Any]) -> str:
    method = _method(header)
    if method == "":
        given = "simmim" if header["begun_with_encoder"] else "untrained"
        return "supervised" if _with_labels(header) else given
    return {"simmim": "simmim, masked-image-modeling", None: "simmim"}.get(method, method)


def _with_labels(header: Mapping[str, Any]) -> bool:
    return header.get("evaluation", PRETRAINED) != PRETRAINED


def _training(header: Mapping[str, Any]) -> str:
    """How its weights came about: an evaluation leaves encoders, too, and a run of 0 epochs what it began with."""
    if "origin" in header and _method(header) is None:
        how = "trained with labels by others" if header["origin"].get("fine_tuned") else "as others published it"
        return f"{how}, as `{header['origin']['released_as']}`"
    if _with_labels(header):
        return _fine_tuned(header)
    if header.get("step") == 0:
        return f"as run `{header['run']}` began with it, which has trained nothing"
    return _pretrained(_method(header))


def _fine_tuned(header: Mapping[str, Any]) -> str:
    run, how = header["run"], f"trained with labels (`{header['evaluation']}`"
    match _method(header):
        case None:
            return f"{how}) from where run `{run}` had left it"
        case "":
            begun = f"the encoder file that run `{run}` began with" if header["begun_with_encoder"] else "fresh weights"
            return f"{how}) from {begun}"
        case method:
            return f"{_pretrained(method)}, then {how} of run `{run}`)"


def _pretrained(method: str | None) -> str:
    return f"pre-trained without labels by {_METHODS.get(method, f'method `{method}`')}" if method else _UNSAID


def _numbers(values: Any) -> str:
    return ", ".join(f"{value:g}" for value in values)


def _origin(header: Mapping[str, Any]) -> Iterator[str]:
    if "origin" in header:
        yield f"- **From**: {header['origin']['file']}, SHA-256 {header['origin']['sha256']}"
    if "run" in header:
        yield f"- **Data**: {header.get('dataset') or 'unknown'} (packed set {str(header.get('data_digest'))[:12]})"
        yield (
            f"- **Recipe**: run {header['run']}, seed {header['seed']}, {header['step']} steps, config "
            f"{header['config_hash']}, code {header['code_version']}"
        )
        yield f"- **Scale**: {header['scale']}"


def _measured(source: Path, header: Mapping[str, Any]) -> Iterator[str]:
    """A table of the numbers in the records of an encoder's run."""
    log = _log(source, header)
    if log is None:
        return
    run, results = log.parents[1], log.parents[3] if len(log.parents) > 3 else log.parent
    scores = sorted((results / "evaluate" / run.name).glob("*.parquet"))
    rows = records.read([log, *scores])
    kept = rows[(rows.evaluation != "pretrain") & rows.part.isin(["", "chosen"]) | rows.metric.isin(_OF_TRAINING)]
    if kept.empty:
        return
    scale = kept.scale.iloc[0]
    yield from ["## Numbers", "", f"All of scale `{scale}`, on its own data; other scales' are not comparable.", ""]
    yield from ["| scale | measured by | data set | seed | metric | value |", "| --- | --- | --- | --- | --- | --- |"]
    for row in kept.itertuples():
        values = row.scale, row.evaluation, row.dataset, row.seed, row.metric, f"{row.value:.4g}"
        yield f"| {' | '.join(map(str, values))} |"


def _log(source: Path, header: Mapping[str, Any]) -> Path | None:
    """The records beside an encoder, or those in the run folder at whose top it lies; None where there are neither."""
    places = [source.parent / "train.parquet"]
    if "run" in header:
        where = {key: header[key] for key in ("scale", "run", "seed")}
        places.append(source.parent / pattern("results", "pretrain", "records").format(**where))
    return next((place for place in places if place.is_file()), None)
