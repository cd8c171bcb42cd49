"""A small project with a file of every kind that the package reads, and the verb that reads each."""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from helpers.sheets import CONFIG, append
from PIL import Image
from safetensors.torch import load_file

from simmim.__main__ import EXIT_INTERRUPTED, main
from simmim.config.reading import read_yaml
from simmim.config.sheets import Sheets
from simmim.jobs import Jobs
from simmim.storage import records
from simmim.storage.files import sha256_file
from simmim.storage.sealed_json import write_sealed

SCALE = "mine"
RUN, SEED = ("--run", "default"), ("--seed", "0")
CLASSES = "cat", "dog"
CARD = {
    "split": {"rule": "by hand"},
    "counts": {"classify": {"train": 32, "val": 16}},
    "colour_baselines": {"top1_all_labels": {"nearest colour": 51.5}},
    "sources": [{"what": "noise", "package": "numpy", "version": "1", "terms": "none"}],
    "weaknesses": ["There is nothing to learn."],
}


class Kind(NamedTuple):
    """A kind of file.

    Args:
        file: its path in the project, with wildcards.
        verb: what reads it.
        makes: what that writes, removed before. Where it writes nothing, what it prints is compared.
        is_bound: whether a digest binds it: no change of its content may pass, and a refusal names it. People write
            the others, and what is wrong in one may show in another of the project.
    """

    file: str
    verb: Sequence[str]
    makes: Sequence[str] = ()
    is_bound: bool = True


_PRETRAINED, _DATA = "results/mine/pretrain/default/seed0", "results/mine/data/mine/val"
_FEATURES = "results/mine/features/default/seed0"
_STAGED = "results/mine/pretrain/step_100ep/seed0"
_EVALUATED = "results/mine/evaluate/default"
_KNN = ("evaluate", *RUN, "--evaluation", "knn")
_FINETUNE = ("evaluate", *RUN, "--evaluation", "finetune")
_ANEW = f"{_EVALUATED}/knn.parquet", f"{_EVALUATED}/knn.state"  # without the seeds that an earlier call has kept
_STOPPED = "results/mine/pretrain/default/seed1"
_GOING_ON = ("pretrain", *RUN, "--seed", "1"), (f"{_STOPPED}/encoder.safetensors",)
_STEP = "--run", "step_100ep"
_STEPPED = ("pretrain", *_STEP, *SEED), (f"{_STAGED}/encoder.safetensors",)
_TUNED = f"{_EVALUATED}/finetune.parquet", f"{_EVALUATED}/finetune.encoders/seed1.safetensors"
_BROUGHT_BACK = ("pretrain", *RUN, *SEED), (f"{_PRETRAINED}/encoder.safetensors",)
_PACK = ("pack", "--dataset", "mine", "--split", "val")


def _sheet(name: str) -> Kind:
    return Kind(f"config/{name}.tsv", ("table", "--name", "pretraining"), is_bound=False)


def _source(name: str, file: str) -> Kind:
    return Kind(file, ("pack", "--dataset", name, "--split", "val"), is_bound=False)


KINDS = {
    **{
        f"sheet {name}": _sheet(name)
        for name in (*("pretrain", "evaluate", "datasets", "tokenizers"), *("paper", "tables", "claims", "drawn_masks"))
    },
    "recipe": Kind("config/recipes/swin_b_100ep.yaml", ("mask-samples",), is_bound=False),
    "scale": Kind("config/scales/mine.yaml", ("mask-samples",), is_bound=False),
    "config file": Kind("config/config.yaml", _PACK, is_bound=False),
    "profile": Kind("profile.yaml", ("plan", "table7", "--profile", "{project}/profile.yaml"), is_bound=False),
    "image": _source("mine", "photos/val/cat/1.png"),
    "class list": _source("listed", "classes.txt"),
    "tar": _source("tar", "one.tar"),
    "compressed tar": _source("tar_gz", "two.tar.gz"),
    "parquet of images": _source("hf", "images.parquet"),
    "COCO": _source("my_coco", "coco.json"),
    "iNaturalist": _source("inat", "inat.json"),
    "label map": _source("ade", "ade/annotations/val/1.png"),
    "published colours": Kind("colours.npy", ("tokenizer", "--tokenizer", "published"), is_bound=False),
    "index": Kind(f"{_DATA}/index.json", ("verify",)),
    "samples": Kind(f"{_DATA}/samples.parquet", ("verify",)),
    "shard": Kind(f"{_DATA}/shard-00000.parquet", ("verify",)),
    "quarantine": Kind(f"{_DATA}/quarantine.parquet", ("verify",)),
    "tokenizer": Kind("results/mine/tokenizers/colours_512.safetensors", ("tokenizer", "--tokenizer", "colours_512")),
    "encoder": Kind(
        f"{_PRETRAINED}/encoder.safetensors", ("features", *RUN, *SEED, "--name", "{features}"), (f"{_FEATURES}/*px_*",)
    ),
    "encoder to convert": Kind(
        f"{_PRETRAINED}/encoder.safetensors",
        ("convert", "--from", "{project}/" + _PRETRAINED + "/encoder.safetensors", "--to", "{project}/out.pth"),
        ("out.pth",),
    ),
    "head": Kind(
        f"{_PRETRAINED}/head.safetensors", ("reconstruct", *RUN, *SEED), (f"{_PRETRAINED}/reconstruction.parquet",)
    ),
    "records": Kind(
        f"{_PRETRAINED}/train.parquet", ("table", "--name", "pretraining"), ("results/mine/tables/pretraining.md",)
    ),
    "finished records": Kind(f"{_EVALUATED}/knn.parquet", _KNN),
    "pictures": Kind(
        "results/mine/mask_samples.parquet", ("figure", "--name", "figure2"), ("results/mine/figures/figure2.png",)
    ),
    "features": Kind(f"{_FEATURES}/*px_*/val/block_01.npy", _KNN, _ANEW),
    "features' manifest": Kind(f"{_FEATURES}/*px_*/manifest.json", _KNN, _ANEW),
    "kept seed": Kind(f"{_EVALUATED}/knn.state/seed1.parquet", _KNN, (f"{_EVALUATED}/knn.parquet",)),
    "kept seed's encoder": Kind(f"{_EVALUATED}/finetune.state/seed1.safetensors", _FINETUNE, _TUNED),
    "note of a finished job": Kind(f"{_PRETRAINED}/state/finished.json", *_BROUGHT_BACK),
    "kept encoder": Kind(f"{_PRETRAINED}/state/encoder.safetensors", *_BROUGHT_BACK),
    "finished encoder": Kind(f"{_PRETRAINED}/encoder.safetensors", ("pretrain", *RUN, *SEED)),
    "first stage": Kind(f"{_STAGED}/first_stage/model.safetensors", *_STEPPED),
    "first stage's optimiser": Kind(f"{_STAGED}/first_stage/optimizer.safetensors", *_STEPPED),
    "first stage's manifest": Kind(f"{_STAGED}/first_stage/manifest.json", *_STEPPED),
    "finished first stage": Kind(f"{_STAGED}/first_stage/model.safetensors", ("first-stage", *_STEP, *SEED)),
    "checkpoint": Kind(f"{_STOPPED}/state/step-*6/model.safetensors", *_GOING_ON),
    "checkpoint's optimiser": Kind(f"{_STOPPED}/state/step-*6/optimizer.safetensors", *_GOING_ON),
    "checkpoint's manifest": Kind(f"{_STOPPED}/state/step-*6/manifest.json", *_GOING_ON),
    "data card": Kind("results/mine/source/data_card.json", ("page",), ("results/mine/report.html",)),
    "table": Kind("results/mine/tables/pretraining.parquet", ("page",), ("results/mine/report.html",)),
    "figure": Kind("results/mine/figures/losses.png", ("page",), ("results/mine/report.html",)),
}


_ROWS = {
    "mine": ("image_folder", "root={project}/photos/{split} class_folders=true"),
    "listed": ("image_folder", "root={project}/photos/{split} class_folders=true classes_file={project}/classes.txt"),
    "tar": ("tar", "archive={project}/one.tar class_folders=true"),
    "tar_gz": ("tar", "archive={project}/two.tar.gz class_folders=true"),
    "hf": ("hf_parquet", "files={project}/images.parquet classes_file={project}/classes.txt"),
    "my_coco": ("coco", "images={project}/photos/val annotations={project}/coco.json"),
    "inat": ("inaturalist", "root={project}/photos/val annotations={project}/inat.json"),
    "ade": ("ade20k", "root={project}/ade split=val classes_file={project}/classes.txt"),
}


class Project:
    """The project, built once; `fresh` gives a copy of it at the same place.

    Args:
        folder: an empty one.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self._sound = folder / "work", folder / "sound"
        self.folder.mkdir()
        _write_sources(self.folder)
        _write_config(self.folder)
        self.features = ""
        _run_verbs(self)
        self.folder.rename(self._sound)

    def fresh(self) -> Path:
        """The project as it was built."""
        shutil.rmtree(self.folder, ignore_errors=True)
        shutil.copytree(self._sound, self.folder, copy_function=os.link)
        return self.folder

    def path(self, pattern: str) -> Path:
        """A file of the project."""
        (found,) = self.folder.glob(pattern)
        return found

    def run(self, *arguments: str) -> tuple[int, str, str]:
        """Exit code, stdout and stderr of a verb."""
        read_yaml.cache_clear()
        arguments = [each.format(project=self.folder, features=self.features) for each in arguments]
        of_project = ["--config", f"{self.folder}/config", "--results", f"{self.folder}/results", "--scale", SCALE]
        with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as err:
            code = main([*arguments, *(of_project if arguments[0] != "convert" else ())])
        return code, out.getvalue(), err.getvalue()

    def result(self, kind: Kind) -> dict[str, Any]:
        """What a verb has made, in values that do not depend on time."""
        return {pattern: _content(self.path(pattern)) for pattern in kind.makes}


def _content(path: Path) -> Any:
    if path.is_dir():
        return {each.name: sha256_file(each) for each in path.iterdir() if each.suffix == ".npy"}
    if path.suffix == ".safetensors":
        return {name: value.tolist() for name, value in load_file(path).items()}
    if path.suffix == ".parquet" and "metric" in (frame := pq.read_table(path).to_pandas()):
        return frame[~frame["metric"].str.contains("second")][["metric", "part", "value"]].to_dict("list")
    return sha256_file(path)


def _write_sources(folder: Path) -> None:
    for split, count in (("train", 16), ("val", 8)):
        for number, name in enumerate(name for name in CLASSES for _ in range(count)):
            path = folder / "photos" / split / name / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(_png(np.random.default_rng(number + len(split)).integers(0, 255, (64, 64, 3), np.uint8)))
    names = [f"{name}/{path.name}" for name in CLASSES for path in sorted((folder / "photos/val" / name).iterdir())]
    images = [{"id": n, "file_name": name, "height": 64, "width": 64} for n, name in enumerate(names)]
    listed = [{"id": n, "image_id": n, "category_id": 1 + n % 2} for n in range(len(names))]
    shape = {"bbox": [8, 8, 20, 20], "area": 400, "iscrowd": 0, "segmentation": [[8, 8, 28, 8, 28, 28, 8, 28]]}
    categories = [{"id": n, "name": name} for n, name in enumerate(CLASSES, 1)]
    document = {"images": images, "categories": categories}
    (folder / "coco.json").write_text(json.dumps(document | {"annotations": [each | shape for each in listed]}))
    (folder / "inat.json").write_text(json.dumps(document | {"annotations": listed}))
    (folder / "classes.txt").write_text("cat\ndog\n")
    for archive, mode in (("one.tar", "w"), ("two.tar.gz", "w:gz")):
        with tarfile.open(folder / archive, mode) as opened:
            opened.add(folder / "photos/val", ".")
    rows = [{"image": {"bytes": (folder / "photos/val" / name).read_bytes(), "path": name}} for name in names]
    rows = [row | {"label": number % 2} for number, row in enumerate(rows)]
    pq.write_table(pa.Table.from_pylist(rows), folder / "images.parquet", write_page_checksum=True)
    for kind, pixels in (("images", np.zeros((64, 64, 3), np.uint8)), ("annotations", np.ones((64, 64), np.uint8))):
        (folder / "ade" / kind / "val").mkdir(parents=True)
        for number in range(4):
            (folder / "ade" / kind / "val" / f"{number}.png").write_bytes(_png(pixels))
    np.save(folder / "colours.npy", np.random.default_rng(0).uniform(-1, 1, (8, 3)))


def _png(pixels: np.ndarray) -> bytes:
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, "PNG")
    return content.getvalue()


def _write_config(folder: Path) -> None:
    config = Path(shutil.copytree(CONFIG, folder / "config"))
    for name, (source, settings) in _ROWS.items():
        made_by = "demo" if name == "mine" else ""
        for split in ("train", "val"):
            placed = settings.format(project=folder, split=split) + " pack.max_quarantined_share=0.2"
            append(config / "datasets.tsv", name, split, source, made_by, placed)
    append(config / "tokenizers.tsv", "published", "colour_clusters", f"clusters=8 file={folder}/colours.npy")
    smoke = (config / "scales/smoke.yaml").read_text()
    kept = smoke[: smoke.index("datasets:")] + smoke[smoke.index("pixels:") :]
    for old, new in (("batch: 16", "batch: 8"), ("save_every_steps: 4", "save_every_steps: 2")):
        kept = kept.replace(old, new, 1)  # eight steps of pre-training, saved after two, four and six
    mine = "datasets: {pretrain: mine, classify: mine}\nruns: [default, step_100ep]\nwithout: [probe, attentive]\n"
    (config / f"scales/{SCALE}.yaml").write_text(mine + kept)
    shutil.copyfile(CONFIG.parent / "workflow/profiles/slurm/profile.yaml", folder / "profile.yaml")


def _run_verbs(project: Project) -> None:
    """Make every file that verbs make, by them, and an interrupted pre-training."""
    jobs = Jobs(Sheets(project.folder / "config"), f"{project.folder}/results")
    (features,) = jobs.features_of(jobs.job("evaluate", scale=SCALE, run="default", evaluation="knn").config)
    project.features = Path(features).name
    figures, tables = (jobs.job("page", scale=SCALE).inputs[role] for role in ("figures", "tables"))
    card = Path(jobs.job("page", scale=SCALE).inputs["card"][0])
    card.parent.mkdir(parents=True)
    write_sealed(card, CARD)
    _sound(project, "pack", "--dataset", "mine", "--split", "train")
    _sound(project, *_PACK)
    _sound(project, "tokenizer", "--tokenizer", "colours_512")
    _sound(project, "pretrain", *RUN, *SEED)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(records, "write", _interrupt)
        assert project.run("pretrain", *RUN, "--seed", "1")[0] == EXIT_INTERRUPTED
    _sound(project, "reconstruct", *RUN, *SEED)
    _sound(project, "features", *RUN, *SEED, "--name", project.features)
    _sound(project, *_KNN)
    _sound(project, *_FINETUNE)
    _sound(project, "first-stage", *_STEP, *SEED)
    _sound(project, "pretrain", *_STEP, *SEED)
    _sound(project, "mask-samples")
    _sound(project, "table", "--name", "pretraining")
    _sound(project, "figure", "--name", "losses")
    for made, others in (("tables/pretraining.parquet", tables), ("figures/losses.png", figures)):
        for other in others:  # the page is read, not looked at
            if not Path(other).exists():
                shutil.copyfile(project.folder / "results" / SCALE / made, other)


def _sound(project: Project, *arguments: str) -> None:
    code, _, errors = project.run(*arguments)
    assert code == 0, (arguments, errors)


def _interrupt(*arguments: Any, **more: Any) -> None:
    raise KeyboardInterrupt
