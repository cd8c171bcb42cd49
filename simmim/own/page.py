"""README.md of a run folder: what it is, how it came to be, what it has shown, and how to go on."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from simmim.own.project import SCALE, Project
from simmim.own.result import command
from simmim.report.measurements import METRIC_LABELS

_FILES = {
    "encoder": "the encoder, for `simmim finetune`, `probe`, `knn`, `detect`, `segment`",
    "gallery": "held-out images: what they are, what the network sees, what it predicts, its prediction pasted in",
    "progress": "the same images at a few moments of the training",
    "metrics": "every measured number, one a row",
    "result": "the numbers above, for programs",
}
_NUMBERS = {  # in this order; a number that does not stand here comes last, by its name in the records
    "validation_loss": "loss on held-out images",
    "validation_loss_mean_colour": "the same for the mean colour of what is visible",
    **METRIC_LABELS,
    "train_loss": METRIC_LABELS["loss"],
    "lr": "learning rate at the end",
    "grad_norm": "norm of the gradient, at the end",
    "train_seconds": "seconds of training, of all devices together",
    "images_per_second": "images a second",
    "data_wait": "percent of it spent waiting for images",
    "mfu": "percent of the device's rate of matrix products",
    "peak_tflops": "that rate, in TFLOP/s",
    "loss_spikes": "jumps of the loss",
}


def pretraining_page(
    project: Project, numbers: Mapping[str, float], images: tuple[int, int], sentence: str, made: Mapping[str, Path]
) -> list[str]:
    """Lines of the page of a pre-training on so many images, and so many held-out ones."""
    note, folder = project.note, project.folder
    run, request = note["run"], note["request"]
    return [
        f"# {run}",
        "",
        f"{request['model']}, pre-trained by SimMIM on {images[0]} images of",
        f"`{request['data']}`",
        f"without labels; {images[1]} other images of it are held out and were never trained on.",
        "",
        f"**{sentence[0].upper()}{sentence[1:]}.**",
        "",
        *(["![gallery](gallery.png)", ""] if "gallery" in made else []),
        "Made by",
        "",
        f"    {command(project)}",
        "",
        *_table(numbers),
        *_files(made),
        "Go on:",
        "",
        f"    simmim finetune --encoder {folder} --data FOLDER_WITH_CLASS_FOLDERS --out runs/finetuned",
        f"    simmim embed --encoder {folder} --data PICTURES --out features.parquet",
        f"    simmim export --encoder {folder} --to timm --out taken   # or transformers, onnx, torch-export",
        f"    simmim reconstruct --encoder {folder} --data PICTURES --out pictures.png",
        f"    tail {folder}/config/pretrain.tsv   # a row is a pre-training: add one to change a setting",
    ]


def transfer_page(
    project: Project, numbers: Mapping[str, float], images: int, sentence: str, made: Mapping[str, Path]
) -> list[str]:
    """Lines of the page of a transfer that has learnt from so many images."""
    note, request = project.note, project.note["request"]
    return [
        f"# {note['run']}",
        "",
        f"`simmim {note['verb']}` of the encoder `{request['encoder']}`",
        f"on {images} images of `{request['data']}`.",
        "",
        f"**{sentence[0].upper()}{sentence[1:]}.**",
        "",
        "Made by",
        "",
        f"    {command(project)}",
        "",
        *_table(numbers),
        *_files(made),
    ]


def _table(numbers: Mapping[str, float]) -> list[str]:
    known = [name for name in _NUMBERS if name in numbers]
    lines = [f"| {_NUMBERS[name]} | {numbers[name]:.4g} |" for name in known]
    lines += [f"| `{name}` | {numbers[name]:.4g} |" for name in sorted(numbers) if name not in known]
    return ["| | |", "| --- | ---: |", *lines, ""]


def _files(made: Mapping[str, Path]) -> list[str]:
    names = {name: f"{name}{file.suffix}" for name, file in made.items()} | {"result": "result.json"}
    lines = [f"| `{names[name]}` | {_FILES[name]} |" for name in names if name in _FILES]
    lines += [f"| `config/` | the sheets of this run at scale `{SCALE}`, a small project |"]
    return ["| file | |", "| --- | --- |", *lines, "| `results/` | packed images, and all that the jobs left |", ""]


def project_page(project: Project) -> list[str]:
    """Lines of the page of a project that has trained nothing yet."""
    run, request = project.note["run"], project.note["request"]
    return [
        f"# {run}",
        "",
        f"A small project: {request['model']} on the images of `{request['data']}`.",
        "",
        "    snakemake --profile workflow/profiles/local        # this machine",
        "    snakemake --profile slurm                          # a cluster, which slurm/profile.yaml names",
        "",
        f"make `results/{SCALE}/report.html` with what it needs. A row of `config/pretrain.tsv` is a pre-training: add",
        f"`{run}_r40`, the recipe `{run}` and mask.ratio=0.4, separated by tabs, and the next call trains it too.",
        "`snakemake` comes with the extra `workflow` (pip install 'simmim[workflow]'); the folder links to its rules.",
        "`simmim finetune`, `probe` and `knn` score an encoder of the project on labelled images.",
    ]
