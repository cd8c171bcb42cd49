"""The whole graph through Snakemake: every stage at smoke scale, nothing to do a second time, exact re-runs."""

from __future__ import annotations

import contextlib
import json
import os
import re
import resource
import shutil
import subprocess
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from helpers.new_files import NAMES, RUNS, add_new_files

from simmim import PACKED_FORMAT
from simmim.config.errors import DoesNotFit
from simmim.config.sheets import Sheets
from simmim.data.index import index_sha256
from simmim.report import catalogue
from simmim.storage import records
from simmim.storage.files import write_text
from simmim.storage.finished import keep
from simmim.storage.identity import Identity, config_hash

ROOT = Path(__file__).parents[2]
PARTS = "config", "simmim", "workflow"


def snakemake(folder: Path, *arguments: str, timeout: int = 120, refuses: bool = False) -> str:
    """Run Snakemake in a folder, which must succeed or refuse; returns everything it printed."""
    command = ["snakemake", "--profile", "workflow/profiles/local", "--nocolor", *arguments]
    environment = os.environ | {"PYTHONPATH": str(folder), "OMP_NUM_THREADS": "1", "HOME": str(folder)}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=timeout)
    printed = done.stdout + done.stderr
    assert (done.returncode != 0) == refuses, printed[-6000:]
    return printed


def planned(printed: str) -> dict[str, int]:
    """Rule -> number of jobs of a dry run's table."""
    table = re.search(r"^job +count\n-+ +-+\n(.*?)\ntotal", printed, re.DOTALL | re.MULTILINE)
    return {line.split()[0]: int(line.split()[1]) for line in table[1].splitlines()} if table else {}


def copy_of_the_project(folder: Path) -> Path:
    for part in PARTS:
        source = ROOT / part
        ignore = shutil.ignore_patterns("__pycache__")
        shutil.copytree(source, folder / part, ignore=ignore) if source.is_dir() else shutil.copy(source, folder)
    return folder


# Default, a first stage and the run that goes on from it; `new_files` and the README have the rest.
FEW = "default, step_100ep, step_300ep"


def readme_rows() -> dict[str, list[str]]:
    """The rows of the README's first example, by sheet, as a user would type them."""
    readme, rows = (ROOT / "README.md").read_text(), {}
    for sheet, text in re.findall(
        r"^    # config/(pretrain|evaluate)\.tsv\n    run .*\n((?:    \S.*\n)+)", readme, re.M
    ):
        rows[sheet] = ["\t".join(line.split()) for line in text.splitlines()]
    return rows


def small_project(folder: Path) -> Path:
    """A copy of the project whose smoke scale has few rows: every evaluation of the default run, of others fine-tuning.

    Beside some of its own, it has the row of the README's first example, and rows that use a new file of every kind.
    """
    copy_of_the_project(folder)
    add_new_files(folder)
    for name, rows in readme_rows().items():
        sheet = folder / "config" / f"{name}.tsv"
        sheet.write_text(sheet.read_text() + "".join(f"{row}\n" for row in rows))
    scale, runs = folder / "config" / "scales" / "smoke.yaml", ", ".join([FEW, "mask_r40", *RUNS])
    scale.write_text(
        scale.read_text()
        + f"runs: [{runs}]\nwithout: [inat, supervised, segment_lr3e4, segment_pretrained, segment_pretrained_lr3e4]\n"
    )
    with (folder / "config" / "evaluate.tsv").open("a") as sheet:
        sheet.write("default\tprobe_after\tprobe\tinit=finetune seeds=1\n")
    return folder


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A small project that has run from data to report page."""
    folder = small_project(tmp_path_factory.mktemp("project"))
    snakemake(folder, "--config", "scale=smoke", timeout=1500)
    return folder


@pytest.mark.timeout(1600)
def test_every_stage_leaves_its_files(finished):
    results = finished / "results" / "smoke"
    for file in ("report.html", "tables/table1.md", "tables/scratch.parquet", "figures/figure4.png"):
        assert (results / file).stat().st_size > 500, file
    for evaluation in ("finetune", "attentive", "probe", "knn", "mechanism", "detect", "segment"):
        frame = records.read([results / "evaluate" / "default" / f"{evaluation}.parquet"])
        assert (frame["config_hash"].str.len() == 12).all()
        undefined = frame[frame["value"].isna()]  # the AP of a size of object that the set does not have
        assert undefined["metric"].str.contains("_ap|_ar").all()
    assert not list(results.rglob("*state*")) and not list(results.glob("features/*/*/*"))


def test_the_first_example_of_the_readme_runs(finished):
    assert readme_rows() == {
        "pretrain": ["mask_r40\tswin_b_100ep\tmask.ratio=0.4"],
        "evaluate": ["mask_r40\tfinetune\tfinetune_swin_b"],
    }
    frame = records.read([finished / "results" / "smoke" / "evaluate" / "mask_r40" / "finetune.parquet"])
    assert np.isfinite(frame[frame["metric"] == "top1"]["value"]).all()
    config = records.metadata(finished / "results/smoke/pretrain/mask_r40/seed0/train.parquet")["config"]
    assert config["mask"] == {"name": "random", "ratio": 0.4}


@pytest.mark.parametrize("run", RUNS)
def test_a_new_file_of_every_kind_trains_through_the_workflow(finished, run):
    frame = records.read([finished / "results" / "smoke" / "pretrain" / run / "seed0" / "train.parquet"])
    losses = frame[frame["metric"] == "loss"]["value"]
    assert len(losses) and np.isfinite(losses).all()
    config = json.dumps(records.metadata(frame["source"].iloc[0])["config"])
    used = {"new_parts": ["half", "two_layers", "contrast", "narrow_swin", "drawn_squares"]}
    used |= {"new_codes": ["grey_levels"], "new_method": ["mean_colour"]}
    assert all(f'"{name}"' in config for name in used[run])


def test_a_new_task_table_and_figure_are_made_by_the_workflow(finished):
    results = finished / "results" / "smoke"
    frame = records.read([results / "evaluate" / "default" / "centroid.parquet"])
    assert np.isfinite(frame[(frame["metric"] == "top1") & (frame["part"] == "chosen")]["value"]).all()
    assert "Top-5 of fine-tuning" in (results / "tables" / "mine.md").read_text()
    assert (results / "figures" / "mine.png").stat().st_size > 5000
    assert "A section of its own" in (results / "report.html").read_text()


def test_a_new_file_of_every_kind_is_under_the_contract_tests(finished):
    for part in ("tests", "docs"):
        shutil.copytree(ROOT / part, finished / part, ignore=shutil.ignore_patterns("__pycache__"), dirs_exist_ok=True)
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, finished)
    contracts = sorted(str(path.relative_to(finished)) for path in finished.glob("tests/*/test_*contract.py"))
    command = ["python", "-m", "pytest", "-q", "-rA", "-p", "no:cacheprovider", "-k", " or ".join(NAMES), *contracts]
    environment = os.environ | {"PYTHONPATH": str(finished), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=finished, env=environment, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr
    for name in set(NAMES) - {"drawn_squares"}:
        assert re.search(rf"^PASSED .*\b{name}\b", done.stdout, re.MULTILINE), f"no contract test looks at {name}"


def test_a_probe_may_read_the_features_of_a_fine_tuned_encoder(finished):
    folder = finished / "results" / "smoke" / "evaluate" / "default"
    before, after = (records.read([folder / f"{name}.parquet"]) for name in ("probe", "probe_after"))
    chosen = after[(after["metric"] == "top1") & (after["part"] == "chosen")]
    assert chosen["seed"].tolist() == [0] and np.isfinite(chosen["value"]).all()
    losses = [
        rows[(rows["metric"] == "train_loss") & (rows["seed"] == 0)]["value"].tolist() for rows in (before, after)
    ]
    assert losses[0][0] == losses[1][0] and losses[0][-1] != losses[1][-1]  # zero weights, then other features


def test_a_longer_run_goes_on_from_the_first_stage_of_a_shorter_one(finished):
    logs = finished / "logs" / "smoke"
    assert "going on from step" in (logs / "first_stage" / "step_300ep_seed0.log").read_text()
    assert "going on from step" not in (logs / "first_stage" / "step_100ep_seed0.log").read_text()
    results = finished / "results" / "smoke" / "pretrain"
    losses = {}
    for run in ("step_100ep", "step_300ep"):
        frame = records.read([results / run / "seed0" / "train.parquet"])
        losses[run] = frame[frame["metric"] == "loss"].set_index("step")["value"]
    shared = json.loads((results / "step_100ep" / "seed0" / "first_stage" / "manifest.json").read_text())["step"]
    short, long = losses["step_100ep"], losses["step_300ep"]
    assert shared >= 2 and long.index[-1] > short.index[-1]
    assert short[short.index <= shared].tolist() == long[long.index <= shared].tolist()


@pytest.mark.slow
@pytest.mark.timeout(5400)
def test_every_table_and_figure_runs_at_smoke_scale(tmp_path):
    """Every row of the sheets that fits: each component is trained for some steps and evaluated."""
    folder = copy_of_the_project(tmp_path)
    snakemake(folder, "--config", "scale=smoke", timeout=5000)
    sheets = Sheets(folder / "config")
    results = folder / "results" / "smoke"
    numbers = [f"table{number}" for number in range(1, 14)]
    for name in (*numbers, "appendix_e", *catalogue.shown_tables(sheets, "smoke")):
        assert (results / "tables" / f"{name}.md").stat().st_size > 500, name
    for number in range(1, 8):
        assert (results / "figures" / f"figure{number}.png").stat().st_size > 5000, number
    for run, evaluation in sheets.evaluations("smoke"):
        with contextlib.suppress(DoesNotFit):
            sheets.evaluation("smoke", run, evaluation)
            assert (results / "evaluate" / run / f"{evaluation}.parquet").is_file(), (run, evaluation)
    table = pd.concat(pd.read_parquet(results / "tables" / f"{name}.parquet") for name in numbers)
    without = table[table["ours"].isin(["not run", "–"])]
    assert set(without["paper"]) <= {"N/A", "-"}, without[["row", "column", "status"]].to_string()


def test_a_second_run_finds_nothing_to_do(finished):
    assert "Nothing to be done" in snakemake(finished, "--config", "scale=smoke")


def test_what_a_job_is_granted_or_how_its_rule_is_worded_makes_nothing_again(finished):
    """A run that moves to other cards, or a project that is updated, must not lose its trainings."""
    texts = {path: path.read_text() for path in (finished / "workflow" / "rules").glob("*.smk")}
    for path, text in texts.items():
        path.write_text(text.replace("python -m simmim.cluster", "WORDED=otherwise python -m simmim.cluster"))
    granted = "--set-threads", "pack=2", "--set-resources", "pretrain:gpu=2", "pretrain:runtime=60", "pack:runtime=60"
    plan = snakemake(finished, "-n", "--config", "scale=smoke", *granted)
    for path, text in texts.items():
        path.write_text(text)
    assert "Nothing to be done" in plan


@pytest.mark.parametrize("report", [pytest.param("own.html", marks=pytest.mark.slow), "own.zip"])
def test_snakemake_s_own_report_holds_every_figure_with_its_caption(finished, report):
    snakemake(finished, "--config", "scale=smoke", "--report", report)
    page = text_of_report(finished / report)
    for words in (
        "What a model makes of validation images",
        "Validation images with fixed masks",
        "a dot per pre-training",
        "has a panel of its own",
        "on the features of every block",
    ):
        assert words in page, words


def text_of_report(path: Path) -> str:
    """The page of a report of Snakemake, which is the file or lies in it with its pictures beside it."""
    if path.suffix == ".html":
        return path.read_text()
    with zipfile.ZipFile(path) as report:
        assert [name for name in report.namelist() if name.endswith("figure1.png")]
        return "".join(report.read(name).decode() for name in report.namelist() if name.endswith(".html"))


def test_every_number_of_a_table_leads_to_a_record(finished):
    table = pd.read_parquet(finished / "results" / "smoke" / "tables" / "table4.parquet")
    measured = [row for row in table["records"] if len(row)]
    assert measured
    for row in measured:
        for entry in row:
            source = records.read([finished / entry["source"]])
            same = (source["metric"] == entry["metric"]) & (source["seed"] == entry["seed"])
            assert entry["value"] in source[same]["value"].tolist()
            assert entry["config_hash"] and entry["data_digest"] and entry["code_version"]


def test_a_segmentation_starts_from_the_encoders_of_the_fine_tuning(finished):
    """Encoders that are lost come back where something starts from them, and are not missed for the records alone."""
    folder = finished / "results" / "smoke" / "evaluate" / "default"
    target = "results/smoke/evaluate/default/segment.parquet"
    start = records.metadata(folder / "segment.parquet")["config"]["init"]
    assert start["config_hash"] == config_hash(records.metadata(folder / "finetune.parquet")["config"])
    encoders = folder / "finetune.encoders"
    assert len(list(encoders.glob("seed*.safetensors"))) == start["seeds"] == 3
    encoders.rename(folder / "away")
    everything = snakemake(finished, "-n", "--config", "scale=smoke")
    forced = planned(snakemake(finished, "-n", "--forcerun", target, "--", target))
    (folder / "away").rename(encoders)
    assert "Nothing to be done" in everything
    assert forced == {"finetune": 1, "evaluate": 1}


def test_an_edited_value_re_runs_its_dependants_and_a_comment_nothing(finished):
    recipe = finished / "config" / "recipes" / "knn.yaml"
    text = recipe.read_text()
    recipe.write_text("# a remark\n" + text)
    assert "Nothing to be done" in snakemake(finished, "-n", "--config", "scale=smoke")
    recipe.write_text(text.replace("image_px: 192", "image_px: 192, temperature: 0.1"))
    plan = planned(snakemake(finished, "-n", "--config", "scale=smoke"))
    recipe.write_text(text)
    assert plan["evaluate"] == 1 and "finetune" not in plan and "pretrain" not in plan and "pack" not in plan


def test_what_was_made_of_other_settings_or_data_is_made_again_where_snakemake_has_noted_none(tmp_path):
    """As where results come with the repository: the files alone say what they were made of, and no time counts."""
    folder, config = copy_of_the_project(tmp_path), Sheets(ROOT / "config").pretraining("paper", "default")
    made = folder / "results/paper/pretrain/default/seed0"
    index = {
        split: made.parents[2] / "data" / data.dataset / split / "index.json" for split, data in config.data.items()
    }
    for name in ("encoder", "head"):
        write_text(made / f"{name}.safetensors", "")
    target, digests = str((made / "train.parquet").relative_to(folder)), {"train": "a", "val": "b"}
    again = {"pretrain": 1}  # and nothing once all agree
    for ratio, packed, plan in [(0.4, "b", again), (0.6, "c", again), (0.6, "b", {})]:
        stored = config.as_json() | {"mask": {"name": "random", "ratio": ratio}}
        records.write(made / "train.parquet", [], config=stored, data_digests=digests)
        for split, digest in (("train", "a"), ("val", packed)):
            data = {"format": PACKED_FORMAT, "digest": digest}
            write_text(index[split], json.dumps(data | {"index_sha256": index_sha256(data)}))
        assert planned(snakemake(folder, "-n", "--config", "scale=smoke", "--", target)) == plan
    index["val"].unlink()
    new = target.replace("default", "loss_full")
    printed = snakemake(folder, "--config", "scale=paper", "--", target, new, refuses=True)
    assert "nothing was started: default would be done again, for their data are not packed here" in printed
    assert f"-- {index['val'].relative_to(folder)}\n" in printed


def test_a_new_row_plans_itself_alone(finished):
    config = finished / "config"
    rows = {
        config / "pretrain.tsv": "mask_new\tswin_b_100ep\tmask.ratio=0.4\n",
        config / "evaluate.tsv": "mask_new\tfinetune\tfinetune_swin_b\t\n",
    }
    texts = {path: path.read_text() for path in (*rows, config / "scales" / "smoke.yaml")}
    for path, row in rows.items():
        path.write_text(texts[path] + row)
    scale = config / "scales" / "smoke.yaml"
    scale.write_text(texts[scale].replace(FEW, f"{FEW}, mask_new"))
    plan = planned(snakemake(finished, "-n", "--config", "scale=smoke"))
    for path, text in texts.items():
        path.write_text(text)
    assert (plan["pretrain"], plan["finetune"]) == (1, 1)
    assert not {"evaluate", "pack", "demo_data", "tokenizer", "first_stage"} & plan.keys()


def one_row_commands() -> list[list[str]]:
    """Arguments of the documented commands for one row: what it lacks, its evaluation again, all of it again."""
    readme = (ROOT / "docs" / "reproduce.md").read_text()
    row = re.search(r"^ +ROW=(\S+)", readme, re.MULTILINE)[1]
    lines = re.findall(r"^ +snakemake --profile slurm (.*\$ROW)", readme, re.MULTILINE)
    return [line.replace("$ROW", row).split() for line in lines]


def test_the_commands_for_one_ablation_row_plan_that_row_alone(tmp_path):
    folder = copy_of_the_project(tmp_path)
    plans = [planned(snakemake(folder, "-n", *command)) for command in one_row_commands()]
    assert plans == [{"pack": 3, "pretrain": 1, "finetune": 1}] * 3


def test_one_ablation_row_can_be_forced_alone(finished):
    here = {"/paper/": "/smoke/", "loss_full": "mask_r40"}
    commands = [
        [re.sub("|".join(here), lambda found: here[found[0]], part) for part in command]
        for command in one_row_commands()
    ]
    plans = [planned(snakemake(finished, "-n", *command)) for command in commands]
    assert plans == [{}, {"finetune": 1}, {"pretrain": 1, "finetune": 1}]


def test_a_job_with_two_gpus_starts_two_processes(finished, monkeypatch):
    """On the CPU on purpose: the two processes meet over gloo, and the training is that of one process.

    What is forced is done, although the first training has left what would bring its outputs back.
    """
    monkeypatch.setenv("SIMMIM_DEVICE", "cpu")
    target = "results/smoke/pretrain/default/seed0/train.parquet"
    alone = records.read([finished / target])
    folder = (finished / target).parent
    about = records.metadata(finished / target)
    identity = Identity(*(about[name] for name in ("config", "seed", "data_digests", "made_from")))
    names = "encoder.safetensors", "head.safetensors", "train.parquet"
    keep(folder / "state", [folder / name for name in names], identity)
    snakemake(finished, "--forcerun", target, "--set-resources", "pretrain:gpu=2", "--", target)
    assert not (folder / "state").exists()
    assert records.metadata(finished / target)["environment"]["processes"] == 2
    together = records.read([finished / target])
    losses = [frame[frame["metric"] == "loss"]["value"].tolist() for frame in (alone, together)]
    assert losses[1] == pytest.approx(losses[0], rel=0.02)  # bf16 on some machines


def test_an_impossible_row_is_refused_before_any_job(tmp_path):
    folder = copy_of_the_project(tmp_path)
    sheet = folder / "config" / "pretrain.tsv"
    sheet.write_text(sheet.read_text() + "odd\tswin_b_100ep\tmask.ratoi=0.4\n")
    printed = snakemake(folder, "results/smoke/pretrain/odd/seed0/train.parquet", refuses=True)
    assert "unknown setting of masks=random 'ratoi'; did you mean 'ratio'" in printed
    assert not (folder / "results").exists()


@pytest.mark.parametrize("scale", ["paper", "demo", "small"])
def test_every_scale_plans_without_a_missing_file(tmp_path, scale):
    folder = copy_of_the_project(tmp_path)
    plan = planned(snakemake(folder, "-n", "--config", f"scale={scale}"))
    assert plan["pretrain"] >= 4 and plan["finetune"] + plan["evaluate"] >= 10 and plan["page"] == 1


def test_the_whole_paper_is_planned_in_seconds(tmp_path):
    """Processor seconds, since others may be using the machine."""
    folder = copy_of_the_project(tmp_path)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    printed = snakemake(folder, "-n", "--config", "scale=paper")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 20
    for number in range(1, 14):
        assert f"results/paper/tables/table{number}.parquet" in printed
    for name in ("tables/appendix_e.parquet", *(f"figures/figure{number}.png" for number in range(1, 8))):
        assert f"results/paper/{name}" in printed
    plan = planned(printed)
    assert plan["pretrain"] > 70 and plan["finetune"] > 80 and plan["evaluate"] > 80
