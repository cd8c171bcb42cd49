"""`simmim finetune`, `probe`, `knn`, `detect` and `segment` on own data: an encoder file in, a printed score out."""

from __future__ import annotations

import functools
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from simmim.config.evaluate_models import EvaluateConfig
from simmim.config.sections import pixels, sides
from simmim.own.again import done_before, refuse_changed_images, reopened
from simmim.own.choices import Asked, settings_of_one
from simmim.own.make import make
from simmim.own.page import transfer_page
from simmim.own.project import SCALE, Project, scratch
from simmim.own.result import Result, leave, measured, say, say_data, say_training
from simmim.own.transferring import KINDS, Plan, Request, planned
from simmim.storage.reading import encoder_at, existing

_SCORES = {
    "top1": "accuracy {:.1f} %",
    "box_ap": "box AP {:.1f}",
    "mask_ap": "mask AP {:.1f}",
    "miou": "mean IoU {:.1f} %",
    "pixel_accuracy": "{:.1f} % of the pixels right",
}


def finetune(
    *,
    data: Path,
    encoder: Path,
    out: Path,
    epochs: float | None = None,
    batch: int | None = None,
    image_px: str | None = None,
    lr: float | None = None,
    set: Sequence[str] = (),
) -> Result:
    """Train an encoder to tell classes apart, all of it, and print its accuracy on images it has not seen.

    Args:
        data: class folders (in train/ and val/, or a part of each is held out), a .tar of them, or .parquet
        encoder: a run folder, or its encoder.safetensors
        out: the run folder
        epochs: passes over the images (30, and as many as make 300 updates)
        batch: images of an update (32, or 256 where there are many)
        image_px: input, as 192 or 96x160 (that of the encoder)
        lr: base learning rate, of 512 images
        set: any setting of a row, as settings.mixup=0.8
    """
    return _transfer(
        "finetune", data, encoder, out, Asked(epochs=epochs, batch=batch, image_px=pixels(image_px), lr=lr), set
    )


def probe(*, data: Path, encoder: Path, out: Path, epochs: float | None = None, set: Sequence[str] = ()) -> Result:
    """Train a linear classifier on frozen features of every block, and print the accuracy of the best one.

    Args:
        data: class folders (in train/ and val/, or a part of each is held out), a .tar of them, or .parquet
        encoder: a run folder, or its encoder.safetensors
        out: the run folder
        epochs: passes over the features (40, and as many as make 500 updates)
        set: any setting of a row, as train.weight_decay=0
    """
    return _transfer("probe", data, encoder, out, Asked(epochs=epochs), set)


def knn(*, data: Path, encoder: Path, out: Path, set: Sequence[str] = ()) -> Result:
    """Let the nearest neighbours of frozen features vote, and print the accuracy; nothing is trained.

    Args:
        data: class folders (in train/ and val/, or a part of each is held out), a .tar of them, or .parquet
        encoder: a run folder, or its encoder.safetensors
        out: the run folder
        set: any setting of a row, as settings.neighbours=5
    """
    return _transfer("knn", data, encoder, out, Asked(), set)


def detect(
    *,
    data: Path,
    encoder: Path,
    out: Path,
    epochs: float | None = None,
    batch: int | None = None,
    image_px: str | None = None,
    lr: float | None = None,
    set: Sequence[str] = (),
) -> Result:
    """Train Mask R-CNN on an encoder, and print box and mask AP.

    Args:
        data: a folder in COCO's layout, annotations/instances_train.json beside the images
        encoder: a run folder, or its encoder.safetensors
        out: the run folder
        epochs: passes over the images (12, and as many as make 300 updates)
        batch: images of an update (8, or 16 where there are many)
        image_px: side of the input (twice that of the encoder)
        lr: base learning rate, of 512 images
        set: any setting of a row, as settings.anchor_scale=2
    """
    return _transfer(
        "detect", data, encoder, out, Asked(epochs=epochs, batch=batch, image_px=pixels(image_px), lr=lr), set
    )


def segment(
    *,
    data: Path,
    encoder: Path,
    out: Path,
    epochs: float | None = None,
    batch: int | None = None,
    image_px: str | None = None,
    lr: float | None = None,
    set: Sequence[str] = (),
) -> Result:
    """Train UPerNet on an encoder, and print the mean IoU.

    Args:
        data: a folder in ADE20K's layout, images/training, annotations/training, and classes.txt
        encoder: a run folder, or its encoder.safetensors
        out: the run folder
        epochs: passes over the images (12, and as many as make 300 updates)
        batch: images of an update (8, or 16 where there are many)
        image_px: side of the input (twice that of the encoder)
        lr: base learning rate, of 512 images
        set: any setting of a row, as settings.decoder_channels=128
    """
    return _transfer(
        "segment", data, encoder, out, Asked(epochs=epochs, batch=batch, image_px=pixels(image_px), lr=lr), set
    )


def _transfer(verb: str, data: Path, encoder: Path, out: Path, asked: Asked, set: Sequence[str]) -> Result:
    out = Path(out).expanduser()
    request = Request(verb, existing(data, "--data"), encoder_at(encoder), asked, settings_of_one(set))
    plan = functools.cache(lambda: planned(request, out))
    project = reopened(out, verb, request.as_json(), lambda: plan().draft)
    if project is None:
        project = _begun(plan(), out)
    elif (done := done_before(project)) is not None:
        return done
    return _carried_out(project)


def _begun(plan: Plan, out: Path) -> Project:
    """Check and explain a plan, then write the project."""
    from simmim.planning.check import check_transfer

    draft, verb = plan.draft, plan.draft.note["verb"]
    with scratch(draft, out) as tried:
        sheets = tried.jobs.sheets
        config = sheets.evaluation(SCALE, draft.note["run"], verb)
        pretraining = sheets.pretraining(SCALE, draft.note["run"])
        check_transfer(pretraining, config)
    say_data(plan.found, plan.split)
    if not config.settings.is_dense and (bands := plan.found.bands):
        say("", f"{bands}, all kept; normalised as the encoder's images were")
    size = " x ".join(map(str, dict.fromkeys(sides(config.settings.image_px))))
    say("encoder", f"{draft.note['request']['encoder']} on {size} px")
    if plan.choice is None:
        return draft.write(out)
    recipe = dict(plan.choice.recipe)
    if not config.settings.reads_features:
        from simmim.own.machine import fit_of
        from simmim.planning.transfer_network import transfer_network

        classes = len(plan.found.source(plan.found.train).classes())
        fit = fit_of(config, functools.partial(transfer_network, config, pretraining, classes))
        recipe["train"] = recipe["train"] | {"micro_batch": fit.at_once, "workers": fit.workers}
        say("machine", str(fit))
    say_training(config.train, plan.split.train, plan.choice.reasons)
    return replace(draft, recipes={**draft.recipes, verb: recipe}).write(out)


def _carried_out(project: Project) -> Result:
    """Make what is not there yet, and leave the results at the top of the run folder."""
    refuse_changed_images(project, KINDS[project.note["verb"]].found_at)
    jobs, run, verb = project.jobs, project.note["run"], project.note["verb"]
    job = jobs.job(jobs.kind_of(verb), scale=SCALE, run=run, evaluation=verb)
    make(jobs, job.outputs["records"])
    for folder in jobs.features_of(job.config):  # what was read once, as the workflow removes it
        shutil.rmtree(folder, ignore_errors=True)
    numbers, made = measured(job.output("records")), {"metrics": job.output("records")}
    if "encoders" in job.outputs:
        made |= {"encoder": job.output("encoders") / "seed0.safetensors"}
    learnt, scored = project.images(job.config)
    sentence = _sentence(numbers, scored, _commonest(project, job.config))
    say("result", sentence)
    return leave(project, numbers, made, transfer_page(project, numbers, learnt, sentence, made))


def _sentence(numbers: Mapping[str, float], images: int, commonest: float | None) -> str:
    said = [text.format(numbers[metric]) for metric, text in _SCORES.items() if metric in numbers]
    sentence = f"{', '.join(said)} on {images} images that it has not seen"
    return sentence if commonest is None else f"{sentence}; always naming the commonest class gives {commonest:.1f} %"


def _commonest(project: Project, config: EvaluateConfig) -> float | None:
    """Accuracy in percent of naming the class that the training images have most of; None without classes of images."""
    import numpy as np

    from simmim.data.shards import Shards

    folders = project.jobs.data_folders(config)
    learnt, scored = (Shards(folders[split]).labels for split in ("train", "val"))
    known = learnt[learnt >= 0]
    if not len(known):
        return None
    return 100 * float((scored == np.bincount(known).argmax()).mean())
