# ruff: noqa: E501 - tables
"""Mistakes of a beginner: each is one line that says what, where and the nearest choice; never a traceback."""

import os
import re
import shutil
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path

import pytest
from helpers.locked import locked
from helpers.sheets import append, folder, replace  # noqa: F401 - a fixture

from simmim.__main__ import main
from simmim.config.reading import read_yaml

ROOT = Path(__file__).parents[1]
SMOKE, SIZE, PACK = ["--scale", "smoke"], ["size", "--scale", "smoke", "--run", "odd"], ["pack", "--scale", "smoke"]
ODD = [*PACK, "--dataset", "odd", "--split", "train"]

WORDS = {
    "nothing at all": ([], r"required: verb \(`simmim --help` has all\)"),
    "a verb": (["pretran", *SMOKE], r"unknown verb 'pretran'; did you mean 'pretrain'"),
    "an option": (["check", "--scal", "smoke"], r"unknown option of `simmim check` '--scal'; did you mean '--scale'"),
    "an option cut short": (["pretrain", *SMOKE, "--ru", "default"], r"'--ru'; did you mean '--run'"),
    "an option left out": (["pretrain", *SMOKE, "--run", "default"], r"required: --seed"),
    "a word for a number": (["pretrain", *SMOKE, "--run", "default", "--seed", "one"], r"--seed: invalid int value: 'one'"),
    "two targets": (["plan", "table1", "table2"], r"unrecognized arguments: table2"),
    "a scale": (["check", "--scale", "smal"], r"unknown scale 'smal'; did you mean 'small'"),
    "a run to check": (["check", *SMOKE, "--runs", "defalt"], r"unknown run 'defalt'; did you mean 'default'\? \(allowed: \d+ names, such as"),
    "a run": (["pretrain", *SMOKE, "--run", "mask_r32_40", "--seed", "0"], r"unknown run 'mask_r32_40'; did you mean 'mask_r32_r40'"),
    "an evaluation": (["evaluate", *SMOKE, "--run", "default", "--evaluation", "fine-tune"], r"'default/fine-tune'; did you mean 'default/finetune'"),
    "a data set": ([*PACK, "--dataset", "image-net", "--split", "train"], r"'image-net'; did you mean 'imagenet'"),
    "a table": (["table", *SMOKE, "--name", "table_1"], r"unknown table 'table_1'; did you mean 'table1'"),
    "a GPU": (["plan", "table1", *SMOKE, "--gpu", "A-100"], r"'A-100'; did you mean 'A100'"),
    "a table too early": (["table", *SMOKE, "--name", "table4"], r"2 of its 2 inputs are not there yet.*`snakemake \S+table4.parquet` makes them"),
    "training before packing": (["pretrain", *SMOKE, "--run", "default", "--seed", "0"], r"earth_tiles"),
    "weights that are not there": (["convert", "--from", "simmim_pretrain.pth", "--to", "x.safetensors"], r"simmim_pretrain.pth"),
}  # fmt: skip
FILES = {
    "a mask's setting": ("pretrain.tsv", "odd\tswin_b_100ep\tmask.ratoi=0.4", SIZE, r"row 'odd': unknown setting of masks=random 'ratoi'; did you mean 'ratio'"),
    "a component": ("pretrain.tsv", "odd\tswin_b_100ep\tencoder=swim", SIZE, r"row 'odd': .*'swim'; did you mean 'swin'"),
    "a recipe": ("pretrain.tsv", "odd\tswin_b_100_ep\t", SIZE, r"unknown recipe 'swin_b_100_ep'; did you mean 'swin_b_100ep'"),
    "spaces for tabs": ("pretrain.tsv", "odd  swin_b_100ep  mask.ratio=0.4", SIZE, r"pretrain.tsv, line \d+: .*separated by tabs, not by spaces"),
    "a column": ("pretrain.tsv", "run\trecipe\tset -> run\trecipe\tsettings", SIZE, r"pretrain.tsv, its first row: unknown column 'settings'; did you mean 'set'"),
    "a number": ("pretrain.tsv", "odd\tswin_b_100ep\tmask.ratio=40%", SIZE, r"row 'odd': mask.ratio = '40%'"),
    "a run of an evaluation": ("evaluate.tsv", "odd\tfinetune\tfinetune_swin_b\t", SIZE, r"row 'odd finetune': unknown run 'odd'"),
    "no val": ("datasets.tsv", "odd\ttrain\timage_folder\t\troot=/photos", [*PACK, "--dataset", "odd", "--split", "val"], r"has no split 'val' of 'odd'"),
    "a source": ("datasets.tsv", "odd\ttrain\timages_folder\t\troot=/photos", ODD, r"unknown .*'images_folder'; did you mean 'image_folder'"),
    "a source's setting": ("datasets.tsv", "odd\ttrain\timage_folder\t\tfolder=/photos", ODD, r"unknown setting .*'source.folder'|'folder'"),
    "a folder that is not there": ("datasets.tsv", "odd\ttrain\timage_folder\t\troot=~/no such photos", ODD, rf"{os.path.expanduser('~')}/no such photos"),
    "an empty scale": ("scales/smoke.yaml", None, ["check", *SMOKE], r"smoke.yaml is empty"),
    "a scale's section": ("scales/smoke.yaml", "pretrain: -> pretain:", ["check", *SMOKE], r"smoke.yaml: unknown setting 'pretain'; did you mean 'pretrain'"),
    "a scale's data set": ("scales/smoke.yaml", "pretrain: earth_tiles -> pretrain: earth_tile", ["check", *SMOKE], r"'earth_tile'; did you mean 'earth_tiles'"),
    "an indentation": ("scales/smoke.yaml", "pretrain_epochs: 0.02 ->   pretrain_epochs: 0.02\n bad", ["check", *SMOKE], r"smoke.yaml is not valid YAML"),
    "an empty config.yaml": ("config.yaml", None, ["plan", "table4"], r"config.yaml is empty"),
    "a key of config.yaml": ("config.yaml", "data_root -> data-root", ["plan", "table4"], r"config.yaml: unknown setting 'data-root'; did you mean 'data_root'"),
}  # fmt: skip


def one_line(capsys, arguments) -> str:
    """What a call that must be refused says."""
    assert main(arguments) == 2
    out, error = capsys.readouterr()
    assert error.startswith("simmim: error: ") and error.count("\n") == 1 and len(error) < 900, error
    assert out == "" and "Traceback" not in error
    return error


@pytest.mark.parametrize("name", WORDS)
def test_a_mistake_on_the_command_line(name, capsys, tmp_path):
    arguments, message = WORDS[name]
    takes_sheets = arguments and arguments[0] not in ("pretran", "convert")
    more = ["--config", str(ROOT / "config"), "--results", str(tmp_path / "results")] if takes_sheets else []
    assert re.search(message, one_line(capsys, [*arguments, *more]))
    assert not list(tmp_path.rglob("*.*"))


def spoil(config: Path, file: str, change: str | None) -> None:
    """Empty a file of `config/`, put new text in the place of old, or add a line."""
    path = config / file
    if change is None:
        path.write_text("")
    elif " -> " in change:
        replace(path, *change.split(" -> "))
    else:
        append(path, change)
    read_yaml.cache_clear()


@pytest.mark.parametrize("name", FILES)
def test_a_mistake_in_a_file(name, capsys, folder):  # noqa: F811
    file, change, arguments, message = FILES[name]
    spoil(folder, file, change)
    results = folder.parent / "results"
    assert re.search(message, one_line(capsys, [*arguments, "--config", str(folder), "--results", str(results)]))


def test_the_wrong_folder(capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert "there is no folder config: run this where config/ lies" in one_line(capsys, ["check", *SMOKE])


@pytest.mark.parametrize("is_file", [True, False])
def test_results_that_may_not_be_written(is_file, capsys, folder):  # noqa: F811
    results = folder.parent / "results"
    results.write_text("") if is_file else results.mkdir()
    with nullcontext() if is_file else locked(results):
        error = one_line(
            capsys, ["size", *SMOKE, "--run", "default", "--config", str(folder), "--results", str(results)]
        )
    assert str(results) in error and re.search("check its permissions|check the path|move away", error)


def test_a_home_folder_is_found_in_options_too(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    error = one_line(capsys, ["check", *SMOKE, "--config=~/config"])
    assert f"there is no folder {tmp_path}/config" in error


SNAKEMAKE = {
    "a mask's setting": ("pretrain.tsv", FILES["a mask's setting"][1], ["results/paper/size/odd.parquet"], FILES["a mask's setting"][3]),
    "spaces for tabs": ("pretrain.tsv", FILES["spaces for tabs"][1], [], FILES["spaces for tabs"][3]),
    "a table": ("config.yaml", "scale: paper -> scale: smoke", ["results/smoke/tables/tabl1.md"], r"^simmim: error: unknown table 'tabl1'; did you mean 'table1'"),
    "an evaluation": ("config.yaml", "scale: paper -> scale: smoke", ["results/smoke/evaluate/default/finetun.parquet"], r"^simmim: error: unknown evaluation 'default/finetun'; did you mean 'default/finetune'"),
    "a scale": ("config.yaml", "scale: paper -> scale: smal", [], r"unknown scale 'smal'; did you mean 'small'"),
    "a key of config.yaml": ("config.yaml", "data_root -> data-root", [], r"unknown setting 'data-root'; did you mean 'data_root'"),
    "no scale in config.yaml": ("config.yaml", "scale: paper -> # scale: paper", ["results/paper/size/default.parquet"], r"job +count"),
}  # fmt: skip


def planned(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:  # noqa: F811
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "workflow" / "Snakefile"), *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=100)


@pytest.mark.slow
@pytest.mark.parametrize("name", SNAKEMAKE)
def test_a_mistake_through_a_dry_run(name, folder):  # noqa: F811
    file, change, targets, message = SNAKEMAKE[name]
    spoil(folder, file, change)
    done = planned(folder.parent, "-n", *targets)
    printed = done.stdout + done.stderr
    assert done.returncode == (0 if name.startswith("no ") else 1), printed
    assert re.search(message, printed, re.MULTILINE) and "Traceback" not in printed, printed[-3000:]


@pytest.mark.slow
def test_missing_data_are_named_in_the_terminal_before_any_job_starts(folder):  # noqa: F811
    done = planned(folder.parent, "--cores", "1", "results/paper/pretrain/default/seed0/train.parquet")
    assert done.returncode == 1 and not (folder.parent / "results").exists()
    assert "nothing was started: data set imagenet has no data/imagenet/train: config/README.md says" in done.stderr


@pytest.mark.slow
def test_what_a_job_says_reaches_the_terminal(folder):  # noqa: F811
    """Through the local profile: the sentence itself, where Snakemake only says that a job failed."""
    shutil.copytree(ROOT / "workflow" / "profiles", folder.parent / "profiles")
    (folder.parent / "photos").mkdir()
    append(folder / "datasets.tsv", f"odd\ttrain\timage_folder\t\troot={folder.parent}/photos")
    replace(folder / "scales" / "smoke.yaml", "pretrain: earth_tiles", "pretrain: odd")
    target = "results/smoke/data/odd/train/index.json"
    done = planned(folder.parent, "--profile", "profiles/local", target)
    assert done.returncode == 1 and re.search(
        "^simmim: error: .* holds no samples; check its path$", done.stdout + done.stderr, re.MULTILINE
    )
