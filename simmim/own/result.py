"""What a call leaves and returns: the run folder, its numbers, its files, and a page that explains it."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from simmim import __version__
from simmim.config.training import TrainSettings
from simmim.data.found import Found
from simmim.own.drafting import Split
from simmim.own.project import Project
from simmim.storage.files import write_text
from simmim.storage.finished import link
from simmim.storage.reading import read_json

RESULT = "result.json"
_NOT_ASKED = {"encoder_digest"}  # of a request: it follows from what was asked for


@dataclass(frozen=True)
class Result:
    """What a call has made.

    Args:
        folder: the run folder.
        numbers: by name, such as `validation_loss` or `top1`.
        files: by name, such as `encoder`.
    """

    folder: Path
    numbers: Mapping[str, float] = field(default_factory=dict)
    files: Mapping[str, Path] = field(default_factory=dict)


def finished(folder: Path) -> Result | None:
    """What an earlier call has left, None before its end."""
    if not (folder / RESULT).is_file():
        return None
    stored = read_json(folder / RESULT, "the result of a run folder", "remove it and run the same command again")
    return Result(folder, stored["numbers"], {name: folder / file for name, file in stored["files"].items()})


def measured(file: Path) -> dict[str, float]:
    """The last value of every metric in a file of records; of a probe of all blocks that of the chosen one."""
    from simmim.storage import records

    frame = records.read([file]).sort_values("step", kind="stable")
    last = {(row.metric, row.part): float(row.value) for row in frame.itertuples()}
    whole = {metric: value for (metric, part), value in last.items() if not part}
    if "chosen_block" in whole:
        whole["top1"] = last["top1", f"block {whole['chosen_block']:.0f}"]
    return whole


def leave(project: Project, numbers: Mapping[str, float], made: Mapping[str, Path], page: Sequence[str]) -> Result:
    """Put the results at the top of the run folder: files by their names there, README.md, and result.json last."""
    folder, files = project.folder, {}
    for name, source in made.items():
        target = folder / f"{name}{source.suffix}"
        if source != target:
            link(source, target)
        files[name] = target
    write_text(folder / "README.md", "\n".join(page) + "\n")
    stored: dict[str, Any] = {"simmim": __version__, "command": command(project), "numbers": dict(numbers)}
    stored |= {"files": {name: file.name for name, file in files.items()}}
    write_text(folder / RESULT, json.dumps(stored, indent=1) + "\n")
    return Result(folder, numbers, files)


def command(project: Project) -> str:
    """The command line that asks for this run, whether it was asked for there or in Python."""
    words = ["simmim", project.note["verb"]]
    for name, value in project.note["request"].items():
        if name not in _NOT_ASKED and value != []:
            several = ["x".join(map(str, value))] if name == "image_px" else value
            words += [f"--{name.replace('_', '-')}", *map(str, several if isinstance(value, list) else [value])]
    return shlex.join([*words, "--out", str(project.folder)])


def say(what: str, text: str) -> None:
    """One line of what was chosen or found."""
    print(f"{what:<9} {text}", flush=True)


def say_data(found: Found, split: Split) -> None:
    """What lies at the path, and what is held out of it."""
    say("data", f"{found.root}: {found.words}, {split.train + split.held_out} images")
    say("", f"{split.held_out} of them to look at, not to learn from ({split.words})")


def say_training(train: TrainSettings, images: int, reasons: Mapping[str, str]) -> None:
    """How long a training on so many images is, and its peak rate as it comes of the base rate."""
    length = f"{train.steps(images)} updates of {train.batch} images, {train.epochs:g} epochs"
    rate = f"{train.base_lr * train.lr_factor:.1e} = {train.base_lr:.1e} x {train.batch} / {train.base_lr_batch}"
    say("length", f"{length} ({reasons['length']})")
    say("rate", f"peak rate {rate} ({reasons['rate']})")
