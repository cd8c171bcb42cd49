"""`simmim init`: the small project of a run folder and the rules beside it: `snakemake` makes what is added."""

from __future__ import annotations

import functools
import shutil
from collections.abc import Sequence
from pathlib import Path

from simmim.config.sections import pixels
from simmim.config.shipped import workflow_folder
from simmim.own.again import reopened
from simmim.own.choices import Asked, settings
from simmim.own.drafting import Request, planned
from simmim.own.page import project_page
from simmim.own.project import SCALE, Project, scratch, there_is
from simmim.own.result import Result, say
from simmim.storage.files import write_text
from simmim.storage.reading import existing


def init(
    folder: str,
    *,
    data: Path | None = None,
    model: str = "swin_tiny",
    epochs: float | None = None,
    steps: int | None = None,
    batch: int | None = None,
    image_px: str | None = None,
    lr: float | None = None,
    set: Sequence[str] = (),
) -> Result:
    """Write a small project whose one row is yours, for `snakemake`; nothing is trained.

    Args:
        folder: new, or a run folder that is to grow
        data: a folder however nested, a .tar or .parquet, or a .txt file that lists images
        model: a name of `simmim list models`
        epochs: passes over the images (100, and as many as make 1000 updates)
        steps: updates, instead of epochs
        batch: images of an update (64, or 256 where there are many)
        image_px: input, as 192 or 96x160
        lr: base learning rate, of 512 images
        set: any setting of a row, as mask.ratio=0.4

    Raises:
        ValueError: for what cannot be, and for a folder that holds something else.
    """
    out = Path(folder).expanduser()
    asked = Asked(epochs=epochs, steps=steps, batch=batch, image_px=pixels(image_px), lr=lr)
    if data is not None:
        project = _asked_for(Request(existing(data, "--data"), model, asked, 0, settings(set)), out)
    elif not there_is(out):
        raise ValueError(f"{folder} is to become a project: give --data, the images it is about")
    elif set or asked != Asked():
        raise ValueError(f"{folder} is a project already: change its row in config/pretrain.tsv, or add one")
    else:
        project = Project(out)
    run = project.note["run"]
    project.jobs.sheets.pretraining(SCALE, run)  # refuses what does not go together
    _put_rules(out)
    if not (out / "README.md").exists():
        write_text(out / "README.md", "\n".join(project_page(project)) + "\n")
    say("left", f"{out}: row '{run}' in config/pretrain.tsv; `cd {out} && snakemake --profile workflow/profiles/local`")
    return Result(out, {}, {"pretrain": out / "config" / "pretrain.tsv"})


def _put_rules(out: Path) -> None:
    """Link the rules, also where an earlier link leads nowhere, and copy the cluster's profile, which is the user's."""
    link = out / "workflow"
    if link.is_symlink() and not link.exists():
        link.unlink()
    if not link.is_symlink():
        link.symlink_to(workflow_folder().resolve())
    if not (out / "slurm").exists():
        (out / "slurm").unlink(missing_ok=True)
        shutil.copytree(workflow_folder() / "profiles" / "slurm", out / "slurm")


def _asked_for(request: Request, out: Path) -> Project:
    """The project that is there, if it was begun so, or a new one."""
    from simmim.own.checking import checked

    plan = functools.cache(lambda: planned(request, out))
    if before := reopened(out, "pretrain", request.as_json(), lambda: plan().draft):
        return before
    with scratch(plan().draft, out) as tried:
        checked(tried, plan().draft.note["run"])
    return plan().draft.write(out)
