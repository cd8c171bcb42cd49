"""`simmim pretrain` on own images: one row, packed, trained and shown as the workflow does it."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from simmim.config.models import PretrainConfig
from simmim.config.sections import pixels
from simmim.data.found import images_at
from simmim.own.again import done_before, refuse_changed_images, reopened
from simmim.own.choices import Asked, settings_of_one, warnings
from simmim.own.drafting import Plan, Request, planned
from simmim.own.make import make
from simmim.own.page import pretraining_page
from simmim.own.project import SCALE, Project, scratch
from simmim.own.result import Result, leave, measured, say, say_data, say_training
from simmim.storage.reading import existing

_LOSS, _BASELINE = "validation_loss", "validation_loss_mean_colour"


def pretrain(
    *,
    data: Path,
    out: Path,
    model: str = "swin_tiny",
    epochs: float | None = None,
    steps: int | None = None,
    batch: int | None = None,
    image_px: str | None = None,
    lr: float | None = None,
    seed: int = 0,
    set: Sequence[str] = (),
    tensorboard: bool = False,
    dry_run: bool = False,
) -> Result | None:
    """Pre-train on own images, without labels; the same call again goes on, or says that it is finished.

    Args:
        data: a folder however nested, a .tar or .parquet, or a .txt file that lists images
        out: the run folder, a small project that can grow
        model: a name of `simmim list models`
        epochs: passes over the images (100, and as many as make 1000 updates)
        steps: updates, instead of epochs
        batch: images of an update (64, or 256 where there are many)
        image_px: input, as 192 or 96x160
        lr: base learning rate, of 512 images
        seed: of weights, masks, crops and order
        set: any setting of a row, as mask.ratio=0.4
        tensorboard: write event files for TensorBoard too
        dry_run: say what it would take, and write nothing

    Returns:
        The run folder with its numbers and files; None of a dry run.

    Raises:
        ValueError: for what cannot be, and for a run folder that was begun otherwise.
    """
    out = Path(out).expanduser()
    asked = Asked(epochs=epochs, steps=steps, batch=batch, image_px=pixels(image_px), lr=lr)
    request = Request(existing(data, "--data"), model, asked, seed, settings_of_one(set))
    plan = functools.cache(lambda: planned(request, out))
    project = reopened(out, "pretrain", request.as_json(), lambda: plan().draft)
    if project is not None and (done := done_before(project)) is not None:
        return done
    if project is None or dry_run:
        project = _begun(plan(), out, dry_run)
        if project is None:
            return None
    return _carried_out(project, seed, tensorboard)


def _begun(plan: Plan, out: Path, dry_run: bool) -> Project | None:
    """Check and explain a plan, then write the project; None of a dry run."""
    from simmim.own.checking import checked
    from simmim.own.machine import explain_cost, fit_of
    from simmim.planning.pretraining_network import pretraining_network

    run, train_images = plan.draft.note["run"], plan.split.train
    with scratch(plan.draft, out) as tried:
        config = checked(tried, run)
    fit = fit_of(config, functools.partial(pretraining_network, config))
    _explain(plan, config)
    say("machine", str(fit))
    if dry_run:
        explain_cost(config, fit, train_images, train_images + plan.split.held_out)
        return None
    recipe = plan.choice.recipe
    train = recipe["train"] | {"micro_batch": fit.at_once, "workers": fit.workers}
    return replace(plan.draft, recipes={run: recipe | {"train": train}}).write(out)


def _explain(plan: Plan, config: PretrainConfig) -> None:
    """Print what was chosen and why, and what to be warned of."""
    train, split = config.train, plan.split
    say_data(plan.found, split)
    if bands := plan.found.bands:
        say("", f"{bands}, all kept; their means and deviations are measured")
    hidden = f"{config.mask.settings.get('ratio', 0):.0%} hidden by {config.mask.name} masks" if config.mask else ""
    height, width = config.geometry.image_px
    say("model", f"{plan.draft.note['request']['model']} on {height} x {width} px {hidden}")
    say_training(train, split.train, plan.choice.reasons)
    for warning in warnings(train.base_lr * train.lr_factor, train.steps(split.train), split.train):
        say("warning", warning)


def _carried_out(project: Project, seed: int, tensorboard: bool) -> Result:
    """Pack, train and draw what is not there yet, and leave the results at the top of the run folder."""
    from simmim.pretraining.gallery import write_gallery

    refuse_changed_images(project, images_at)
    jobs, where = project.jobs, {"scale": SCALE, "run": project.note["run"], "seed": seed}
    job = jobs.job("pretrain", **where)
    pictures, gallery = Path(jobs.path("reconstruct", "pictures", **where)), project.folder / "gallery.png"
    make(jobs, str(pictures) if job.config.mask else job.outputs["records"], gallery=True, tensorboard=tensorboard)
    made = {"encoder": job.output("encoder"), "metrics": job.output("records")}
    if pictures.exists() and write_gallery(pictures, gallery):
        made |= {"gallery": gallery}
    if (progress := job.output("records").parent / "gallery.png").exists():
        made |= {"progress": progress}
    numbers = measured(job.output("records"))
    images = project.images(job.config)
    sentence = _verdict(numbers, images[1])
    say("result", sentence)
    return leave(project, numbers, made, pretraining_page(project, numbers, images, sentence, made))


def _verdict(numbers: Mapping[str, float], images: int) -> str:
    """The loss on held-out images beside that of the simplest prediction there is."""
    if _LOSS not in numbers:
        return "this method has no loss on held-out images"
    loss, baseline = numbers[_LOSS], numbers.get(_BASELINE)
    sentence = f"loss {loss:.3f} on {images} held-out images"
    if baseline is None:
        return sentence
    sentence += f"; predicting the mean colour of what is visible gives {baseline:.3f}"
    if loss < baseline:
        return f"{sentence}: {1 - loss / baseline:.0%} less"
    return f"{sentence}: no better yet, it needs more updates (--steps) or another rate (--lr)"
