"""The small project that grows into ablations, the names of the command line, and the same words in Python."""

import errno
import inspect
import itertools
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.photos import write_photos
from PIL import Image

import simmim
from simmim.__main__ import OWN, main
from simmim.data.found import classes_at, images_at
from simmim.data.held_out import belongs
from simmim.own.project import Draft, there_is
from simmim.own.result import command
from simmim.storage.files import write_text

ROOT = Path(__file__).parents[2]
QUICK = {"model": "swin_micro", "image_px": 32, "steps": 2, "batch": 4}


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project that has trained nothing, as the working directory."""
    write_photos(tmp_path / "photos", 12)
    simmim.init(tmp_path / "project", data=tmp_path / "photos", **QUICK)
    monkeypatch.chdir(tmp_path / "project")
    return tmp_path / "project"


def snakemake(*options):
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    command = ["snakemake", "--profile", "workflow/profiles/local", "--cores", "1", *options]
    return subprocess.run(command, env=environment, capture_output=True, text=True)


def test_snakemake_would_make_a_row_that_is_added(project):
    with (project / "config" / "pretrain.tsv").open("a") as sheet:
        sheet.write("r40\tproject\tmask.ratio=0.4\n")
    shown = snakemake("-n")
    assert shown.returncode == 0 and "pretrain            2" in shown.stdout + shown.stderr, shown.stderr


@pytest.mark.slow
def test_a_row_that_is_added_is_made_by_snakemake(project):
    with (project / "config" / "pretrain.tsv").open("a") as sheet:
        sheet.write("r40\tproject\tmask.ratio=0.4\n")
    made = snakemake()
    assert made.returncode == 0, made.stdout + made.stderr
    page = (project / "results" / "own" / "report.html").read_text()
    assert "r40" in page and all((project / f"results/own/pretrain/{run}/seed0").is_dir() for run in ("project", "r40"))
    result = simmim.pretrain(data=project.parent / "photos", out=project, **QUICK)
    assert result.numbers["validation_loss"] > 0 and (project / "gallery.png").is_file()


def test_a_run_folder_can_become_a_project(tmp_path, capsys):
    assert main(["init", str(tmp_path / "new")]) == 2
    assert "give --data, the images it is about" in capsys.readouterr().err
    write_photos(tmp_path / "photos", 4)
    for _ in range(2):
        simmim.init(tmp_path / "new", data=tmp_path / "photos", **QUICK)
    rules, profile = tmp_path / "new" / "workflow", tmp_path / "new" / "slurm" / "profile.yaml"
    shipped = (ROOT / "workflow" / "profiles" / "slurm" / "profile.yaml").read_text()
    assert (rules / "Snakefile").is_file() and profile.read_text() == shipped
    assert profile.resolve() == profile, "it is the user's, and no file of the package"
    profile.write_text("jobs: 3\n")
    rules.unlink()
    rules.symlink_to(tmp_path / "an environment that was moved")
    simmim.init(tmp_path / "new")
    assert (rules / "Snakefile").is_file() and profile.read_text() == "jobs: 3\n"
    for options, said in (({"data": tmp_path / "photos"}, "train.epochs: "), ({}, "is a project already")):
        with pytest.raises(ValueError, match=said):
            simmim.init(tmp_path / "new", **options, epochs=7)


def test_the_command_of_a_run_is_told_wherever_it_was_asked_for(tmp_path, monkeypatch):
    """In a notebook, the process was started with `ipykernel_launcher.py -f kernel.json`."""
    request = {"data": "/my photos", "encoder": "/a", "encoder_digest": "1f", "set": ["mixup=0.8", "erase=0"]}
    note = {"verb": "finetune", "request": request | {"image_px": [32, 48], "lr": 0.1}}
    project = Draft(tmp_path, {}, {}, {}, note).write(tmp_path / "new")
    monkeypatch.setattr("sys.argv", ["/lib/ipykernel_launcher.py", "-f", "kernel.json"])
    options = "--encoder /a --set mixup=0.8 erase=0 --image-px 32x48 --lr 0.1"
    assert command(project) == f"simmim finetune --data '/my photos' {options} --out {tmp_path / 'new'}"


def test_a_project_whose_writing_ended_at_any_file_is_begun_again(tmp_path, monkeypatch):
    draft = Draft(tmp_path, {}, {"new": {"stage": "pretrain"}}, {"pretrain": "images"}, {"run": "new"})
    files, out = len(draft.files()) + 1, tmp_path / "new"
    for number in range(files):
        calls = itertools.count()

        def failing(path, text, number=number, calls=calls):
            if next(calls) == number:
                raise OSError(errno.ENOSPC, "No space left on device")
            write_text(path, text)

        with monkeypatch.context() as patch, pytest.raises(OSError, match="No space left"):
            patch.setattr("simmim.own.project.write_text", failing)
            draft.write(out)
        assert not there_is(out), number
        written = draft.write(out)
        assert there_is(out) and written.note == {"run": "new"}, number
        assert len([path for path in out.rglob("*") if path.is_file()]) == files, number
        shutil.rmtree(out)


def test_what_a_kill_leaves_of_a_first_file_is_no_other_file(tmp_path):
    (tmp_path / ".project.json.part.123.part").touch()
    assert not there_is(tmp_path)


@pytest.mark.parametrize("file", ["config/config.yaml", "config/notes.txt", "project.json/mine", ".hidden", "a.part"])
def test_a_folder_with_files_of_the_user_is_refused_and_stays(tmp_path, file):
    write_photos(tmp_path / "photos", 4)
    (tmp_path / "new" / file).parent.mkdir(parents=True)
    (tmp_path / "new" / file).write_text("mine")
    with pytest.raises(ValueError, match="new holds other files; name a folder that is empty or not there yet"):
        simmim.init(tmp_path / "new", data=tmp_path / "photos", **QUICK)
    assert [path for path in (tmp_path / "new").rglob("*") if path.is_file()] == [tmp_path / "new" / file]
    assert (tmp_path / "new" / file).read_text() == "mine"


def test_names_are_listed_and_misspelt_ones_get_the_nearest(capsys):
    assert {"swin_tiny", "vit_base"} <= {*simmim.list("models")} and "random" in simmim.list("masks")
    for kind in simmim.list():
        assert simmim.list(kind), kind
    capsys.readouterr()
    assert main(["list", "modls"]) == 2 and "did you mean 'models'" in capsys.readouterr().err
    assert main(["list", "tables"]) == 0 and "table1\n" in capsys.readouterr().out


def test_python_has_the_verbs_with_their_words_and_imports_nothing_heavy():
    for verb in OWN:
        assert getattr(simmim, verb.__name__) is verb and verb.__name__ in dir(simmim)
        assert all(
            each.annotation is not inspect.Parameter.empty for each in inspect.signature(verb).parameters.values()
        )
    with pytest.raises(AttributeError, match="no attribute 'pretrian'; it has"):
        simmim.pretrian  # noqa: B018
    code = "import simmim, sys; simmim.pretrain, simmim.init, simmim.convert; print('torch' in sys.modules)"
    ended = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert ended.stdout == "False\n"


def test_verbs_about_sheets_take_their_folders_in_python(tmp_path):
    with pytest.raises(ValueError, match="unknown scale 'smok'; did you mean 'smoke'"):
        simmim.verify(scale="smok", config=ROOT / "config", results=tmp_path)
    assert "config" not in inspect.signature(simmim.plan).parameters and simmim.plan.__name__ == "plan"


def test_paths_of_python_may_be_text(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folders = {"config": str(ROOT / "config"), "results": "results"}
    with pytest.raises(ValueError, match=r"there is no Slurm profile mine\.yaml; name yours with --profile"):
        simmim.doctor(profile="mine.yaml", **folders)
    asked = []
    monkeypatch.setattr("simmim.planning.planner.plan", lambda *given: asked.extend(given))
    simmim.plan("table1", scale="smoke", profile="mine.yaml", out="plan.parquet", **folders)
    assert asked[-2:] == [Path("plan.parquet"), Path("mine.yaml")]
    with pytest.raises(ValueError, match=r"unknown file ending of x\.png '\.png'"):
        simmim.convert(source="x.png", target="y.pth")


@pytest.mark.parametrize("verb", [simmim.pretrain, simmim.finetune, simmim.probe, simmim.knn, simmim.init])
@pytest.mark.parametrize("given", ["settings.mixup=0.8", ["settings.mixup=0.8"]])
def test_a_lone_setting_of_python_is_one(tmp_path, monkeypatch, verb, given):
    class Seen(Exception):
        pass

    def seen(*asked):
        raise Seen(asked[-1])

    (tmp_path / "encoder.safetensors").touch()
    monkeypatch.setattr(f"{verb.__module__}.Request", seen)
    named = {"folder": str(tmp_path / "new")} if verb is simmim.init else {"out": tmp_path / "new"}
    named |= {"encoder": tmp_path} if "encoder" in inspect.signature(verb).parameters else {}
    with pytest.raises(Seen) as found:
        verb(data=tmp_path, set=given, **named)
    assert found.value.args == (("settings.mixup=0.8",),)


def test_every_kind_of_path_is_read(tmp_path):
    names = write_photos(tmp_path / "flat", 3)
    (tmp_path / "list.txt").write_text("\n".join(f"flat/{name}" for name in names))
    subprocess.run(["tar", "-cf", tmp_path / "images.tar", "-C", tmp_path / "flat", *names], check=True)
    for path in ("flat", "list.txt", "images.tar"):
        found = images_at(tmp_path / path)
        assert len([*found.source(found.train).samples()]) == 3 and found.val is None, path
    for split in ("train", "val"):
        write_photos(tmp_path / "split" / split / "a", 2)
    assert images_at(tmp_path / "split").val == ("image_folder", "root=$data/val")
    assert classes_at(tmp_path / "split").train == ("image_folder", "root=$data/train class_folders=true")
    write_photos(tmp_path / "part" / "train" / "a", 2)
    assert classes_at(tmp_path / "part").train == ("image_folder", "root=$data/train class_folders=true")
    write_photos(tmp_path / "part" / "bus", 2)  # two vehicles
    assert classes_at(tmp_path / "part").train == ("image_folder", "root=$data class_folders=true")


def test_predictions_for_any_pictures_need_the_run_folder(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_photos(Path("photos"), 9)
    Path("photos/notes.txt").write_text("no picture")
    made = simmim.pretrain(data="photos", out="mine", **QUICK)
    held_out = [name for name in map(str, range(9)) if belongs(f"{name}.png", "held_out", 0.05)]
    assert made.folder == Path("mine") and len(held_out) < 9
    assert main(["reconstruct", "--data", "photos", "--encoder", "mine", "--images", "5", "--out", "seen.png"]) == 0
    assert "seen.png: 5 pictures" in capsys.readouterr().out and Path("seen.png").is_file()
    _pictures_among_other_files(capsys)
    (tmp_path / "alone").mkdir()
    Path("mine/encoder.safetensors").rename("alone/encoder.safetensors")
    assert main(["reconstruct", "--data", "photos", "--encoder", "mine", "--images", "0"]) == 2
    assert "--images 0 must be at least 1" in capsys.readouterr().err
    assert main(["reconstruct", "--data", "photos", "--encoder", "alone/encoder.safetensors"]) == 2
    assert "predictions need the head too; name the run folder" in capsys.readouterr().err


def _pictures_among_other_files(capsys):
    """Only what can be read counts as a picture, the rest is named; and so is what is left out."""
    write_photos(Path("other/train"), 3)
    write_photos(Path("other/val"), 1)
    Image.new("RGB", (40, 40)).save("other/top.png")
    for number in range(3):
        Path(f"other/train/{number}.json").write_text("{}")
    Path("other/train/0.png").write_bytes(Path("other/train/0.png").read_bytes()[:100])
    asked = ["reconstruct", "--encoder", "mine", "--data", "other", "--overwrite", "--out", "seen.png"]
    assert main([*asked, "--images", "2"]) == 0
    said = capsys.readouterr().out
    assert "other: a folder with train and val (1 image in " in said
    assert "other itself left out), shown are those to train on" in said
    assert "seen.png: 2 pictures" in said and "4 images were refused" in said and "quarantine" not in said
    assert "  0.json: not an image" in said and "  0.png: broken" in said
    for name in ("1.png", "2.png"):
        Path("other/train", name).unlink()
    assert main(asked) == 2
    assert "other holds no image that can be used: 0.json (not an image" in capsys.readouterr().err


def test_a_picture_is_replaced_only_where_that_is_asked_for(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("seen.png").write_text("mine")
    options = ["--data", ".", "--encoder", "nowhere", "--out"]
    assert main(["reconstruct", *options, "seen.png"]) == 2
    assert "seen.png exists; --overwrite replaces it" in capsys.readouterr().err
    assert main(["reconstruct", *options, "seen.png", "--overwrite"]) == 2
    assert "nowhere does not exist" in capsys.readouterr().err and Path("seen.png").read_text() == "mine"
    Path("folder").mkdir()
    assert main(["reconstruct", *options, "folder", "--overwrite"]) == 2
    assert "folder: Is a directory" in capsys.readouterr().err


def test_event_files_are_an_extra(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    write_photos(tmp_path / "photos", 4)
    options = ["--data", str(tmp_path / "photos"), "--out", str(tmp_path / "mine"), "--tensorboard"]
    assert main(["pretrain", *options, *(f"--{key.replace('_', '-')}={value}" for key, value in QUICK.items())]) == 2
    assert "pip install 'simmim[tensorboard]'" in capsys.readouterr().err
    assert json.loads((tmp_path / "mine" / "project.json").read_text())["verb"] == "pretrain"
