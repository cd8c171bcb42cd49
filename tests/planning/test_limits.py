"""Which jobs can end within what a Slurm profile grants them."""

from pathlib import Path

import pytest
import yaml
from sheets import CONFIG

from simmim.__main__ import main
from simmim.config.reading import read_yaml
from simmim.config.sheets import Sheets
from simmim.jobs import Jobs
from simmim.planning.gpus import machine
from simmim.planning.limits import Limits
from simmim.planning.planner import plan
from simmim.planning.rows import DONE, TO_DO

SLURM = Path(__file__).parents[2] / "workflow" / "profiles" / "slurm" / "profile.yaml"
PROFILE = {
    "retries": 1,
    "default-resources": {"gpu": 0, "runtime": 60},
    "set-resources": {"pretrain": {"gpu": 4, "runtime": "10h"}, "finetune": {"gpu": 2, "runtime": 600}},
}


def verdicts(tmp_path, *rows, **changes):
    file = tmp_path / "profile.yaml"
    file.write_text(yaml.safe_dump(PROFILE | changes))
    read_yaml.cache_clear()
    limits = Limits(file, Jobs(Sheets(CONFIG)))
    return [each.replace(str(file), "FILE") for each in limits.verdicts(rows)]


def row(kind, hours, evaluation="", seeds=1, state=TO_DO, run="r"):
    made = {"kind": kind, "run": run, "evaluation": evaluation, "gpu_hours": hours}
    return made | {"seeds_to_do": seeds, "state": state}


def test_a_job_that_cannot_end_says_what_to_change(tmp_path):
    assert verdicts(tmp_path, row("pretrain", 81), row("pretrain", 4)) == [
        "! r (pretrain) cannot end: 20 hours on 4 GPUs, 20 (2 tries of 10) are given by FILE. Raise retries to 2, or "
        "runtime of pretrain to 608 (minutes)."
    ]
    enough = PROFILE["set-resources"] | {"pretrain": {"gpu": 4, "runtime": 608}}
    for change in ({"retries": 2}, {"set-resources": enough}):
        assert "Every job can end" in verdicts(tmp_path, row("pretrain", 81), **change)[0]


def test_what_has_no_value_is_not_granted(tmp_path):
    said = verdicts(tmp_path, row("pretrain", 1), retries=None, **{"set-resources": {"pretrain": {"gpu": None}}})
    assert said == ["! r (pretrain) gets no GPU from FILE: set-resources, pretrain, gpu."]


def test_the_nearest_to_its_limit_is_named_where_all_can_end(tmp_path):
    rows = row("pretrain", 79), row("evaluate", 39, "finetune"), row("pretrain", 1e6, state=DONE)
    assert verdicts(tmp_path, *rows) == [
        "Every job can end within FILE. The nearest to its limit is r (pretrain): 19.8 of 20 hours."
    ]


def test_seeds_are_jobs_of_pre_training_and_one_job_of_an_evaluation(tmp_path):
    assert "Every job can end" in verdicts(tmp_path, row("pretrain", 160, seeds=2))[0]
    assert "cannot end: 40 hours" in verdicts(tmp_path, row("evaluate", 80, "finetune", seeds=2))[0]


def test_a_job_without_a_gpu_is_named_with_its_rule(tmp_path):
    assert verdicts(tmp_path, row("evaluate", 1, "probe")) == [
        "! r/probe (evaluate) gets no GPU from FILE: set-resources, evaluate, gpu."
    ]


LARGE = "swin_v2_h_800ep"


def test_a_large_run_gets_what_its_own_rule_is_given_and_else_the_defaults(tmp_path):
    """Not what `pretrain` is given: Snakemake does not know that the two rules belong together."""
    said = verdicts(tmp_path, row("pretrain", 1, run=LARGE), row("evaluate", 1, "finetune", run=LARGE))
    assert said == [
        f"! {LARGE} (pretrain) gets no GPU from FILE: set-resources, pretrain_large, gpu.",
        f"! {LARGE}/finetune (evaluate) gets no GPU from FILE: set-resources, finetune_large, gpu.",
    ]
    own = PROFILE["set-resources"] | {"pretrain_large": {"gpu": 8, "runtime": 60}, "evaluate": {"gpu": 1}}
    rows = row("pretrain", 8, run=LARGE), row("evaluate", 1, "probe", run=LARGE)
    assert "1.0 of 2 hours" in verdicts(tmp_path, *rows, **{"set-resources": own})[0]


def test_default_resources_give_a_training_no_gpu(tmp_path):
    """Its rule says how many: those of the machine that submits."""
    said = verdicts(tmp_path, row("features", 1), **{"default-resources": {"gpu": 8, "runtime": 60}})
    assert said == ["! r (features) gets no GPU from FILE: set-resources, features, gpu."]


def test_retries_may_be_written_as_text_and_must_be_a_number(tmp_path):
    assert "1.0 of 160 hours" in verdicts(tmp_path, row("pretrain", 4), retries="15")[0]
    with pytest.raises(ValueError, match=r"profile\.yaml: retries is 'many', which is no number"):
        verdicts(tmp_path, row("pretrain", 1), retries="many")


def test_a_runtime_of_0_is_no_limit(tmp_path):
    """The plugin asks Slurm for none then."""
    unlimited = {"pretrain": {"gpu": 4, "runtime": 0}}
    assert "Every job can end" in verdicts(tmp_path, row("pretrain", 1e6), **{"set-resources": unlimited})[0]


def test_a_runtime_that_is_no_time_and_a_missing_profile_are_refused(tmp_path, capsys):
    spoilt = {"pretrain": {"gpu": 4, "runtime": "long"}}
    with pytest.raises(ValueError, match="runtime of pretrain is 'long', which is no time; write minutes, 12h or 3d"):
        verdicts(tmp_path, row("pretrain", 1), **{"set-resources": spoilt})
    options = ["--config", str(CONFIG), "--results", str(tmp_path), "--profile", str(tmp_path / "absent.yaml")]
    assert main(["plan", "table4", *options]) == 2
    assert "there is no Slurm profile" in capsys.readouterr().err


def test_a_plan_ends_with_the_verdict(tmp_path):
    target, jobs = f"{tmp_path}/paper/pretrain/default/seed0/train.parquet", Jobs(Sheets(CONFIG), str(tmp_path))
    text = plan(target, jobs, "paper", machine("A100", 0.35, 8), tmp_path / "plan.parquet", SLURM)
    assert "nearest to its limit is default (pretrain): 2.8 of 384 hours." in " ".join(text.split())


@pytest.mark.slow
def test_the_whole_paper_can_end_within_the_profile(tmp_path):
    jobs, a100 = Jobs(Sheets(CONFIG), str(tmp_path)), machine("A100", 0.2, 8)
    text = plan("everything", jobs, "paper", a100, tmp_path / "plan.parquet", SLURM)
    assert "nearest to its limit is swin_v2_h_800ep (first stage)" in " ".join(text.split())
