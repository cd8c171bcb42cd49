"""A plan names the jobs that Snakemake would run for the same target."""

from __future__ import annotations

from collections import Counter

import pytest
from test_workflow import copy_of_the_project, planned, snakemake

from simmim.config.sheets import Sheets
from simmim.jobs import Jobs
from simmim.planning.jobs import groups_of
from simmim.planning.target import needed
from simmim.storage import records
from simmim.storage.finished import keep
from simmim.storage.identity import Identity


@pytest.mark.parametrize(
    "table",
    ["table6", "table9", *(pytest.param(name, marks=pytest.mark.slow) for name in ("table1", "table5", "table12"))],
)
def test_the_jobs_are_those_of_a_dry_run(tmp_path, table):
    folder = copy_of_the_project(tmp_path)
    dry: Counter[str] = Counter()
    for rule, number in planned(snakemake(folder, "-n", f"results/paper/tables/{table}.md")).items():
        dry[rule.removesuffix("_large")] += number
    jobs = Jobs(Sheets(folder / "config"), str(folder / "results"))
    found: dict[str, int] = {}
    for group in groups_of(needed(table, jobs, "paper").files, jobs):
        # one job of the workflow for every seed, but an evaluation has all seeds in one
        is_fine_tuning = group.kind == "evaluate" and group.config.settings.leaves_encoders
        rule = "finetune" if is_fine_tuning else group.kind
        found[rule] = found.get(rule, 0) + (1 if group.kind == "evaluate" else group.seeds_to_do)
    assert found == {kind: number for kind, number in dry.items() if kind not in ("pack", "size", "table")}


def test_features_are_extracted_only_where_something_is_to_read_them(tmp_path):
    folder = copy_of_the_project(tmp_path)
    jobs = Jobs(Sheets(folder / "config"))
    targets = [f"results/smoke/evaluate/default/{evaluation}.parquet" for evaluation in ("probe", "knn")]
    for target in targets:
        (folder / target).parent.mkdir(parents=True, exist_ok=True)
        records.write(folder / target, [], config=jobs.maker(target).config.as_json())
    assert planned(snakemake(folder, "-n", *targets)) == {}
    (folder / targets[0]).unlink()
    plan = planned(snakemake(folder, "-n", *targets))
    assert (plan["features"], plan["pretrain"]) == (2, 1)  # a new encoder: k-NN is repeated too


def test_what_is_noted_is_forgotten_and_what_other_jobs_have_left_is_kept(tmp_path):
    """Of jobs that ended after Snakemake was killed: it deletes their outputs before it makes them again."""
    folder = copy_of_the_project(tmp_path)
    (size,) = Jobs(Sheets(folder / "config")).job("size", scale="smoke", run="default").outputs.values()
    noted, other = (folder / size).with_suffix(".state"), folder / "results/smoke/pretrain/default/seed0/state"
    for state in (noted, other):
        (state / "made").parent.mkdir(parents=True)
        (state / "made").touch()
        keep(state, [state / "made"], Identity(config={}, seed=0))
    snakemake(folder, size)
    assert not noted.exists() and (other / "finished.json").exists()


def test_a_size_is_a_light_job_of_its_own(tmp_path):
    folder = copy_of_the_project(tmp_path)
    assert planned(snakemake(folder, "-n", "results/paper/tables/table8.md")) == {"size": 3, "table": 1}


def test_a_damaged_sheet_is_one_sentence_without_a_traceback(tmp_path):
    folder = copy_of_the_project(tmp_path)
    (folder / "config" / "recipes" / "knn.yaml").write_text("a: [")
    with pytest.raises(AssertionError) as refused:
        snakemake(folder, "-n")
    printed = str(refused.value)
    assert "config/recipes/knn.yaml is not valid YAML, or is damaged (" in printed and "; mend it" in printed
    assert "simmim/config" not in printed


@pytest.mark.parametrize(
    ("given", "differs"),
    [
        (["--config", "data_root=/elsewhere"], "data_root is '/elsewhere', and config/config.yaml says 'data'"),
        (["--config", "large=[default]"], "large is ['default'], and config/config.yaml says ['swin_v2_h_800ep', "),
        (["--configfile", "mine.yaml"], "data_root is '/mine', and config/config.yaml says 'data'"),
    ],
)
def test_what_the_verbs_of_jobs_would_not_see_is_refused(tmp_path, given, differs):
    """They read config/config.yaml; what was given beside it had no effect."""
    folder = copy_of_the_project(tmp_path)
    (folder / "mine.yaml").write_text("data_root: /mine\n")
    printed = snakemake(folder, "-n", *given, "--", "results/smoke/size/default.parquet", refuses=True)
    assert f"--config, or another configfile: {differs}" in printed and "Traceback" not in printed, printed
    assert "only scale can be given so: write it there" in printed


def test_what_stands_in_the_file_may_be_given_too(tmp_path):
    folder = copy_of_the_project(tmp_path)
    given = "--config", "data_root=data", "scale=smoke"
    assert planned(snakemake(folder, "-n", *given, "--", "results/smoke/size/default.parquet")) == {"size": 1}
