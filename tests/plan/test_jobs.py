"""Which jobs a target needs, and which are done."""

from sheets import CONFIG, copied, finish_evaluation, finish_features, finish_first_stage, finish_training

from simmim.config.sheets import Sheets
from simmim.plan.jobs import jobs_of
from simmim.plan.target import needed
from simmim.report.scale_facts import ResultFile

SHEETS = Sheets(CONFIG)
ROWS = "short | with_steps | ", "long | with_steps | train.epochs=300 start.run=short"


def kinds(jobs):
    """Every job; of features the split and not their full name."""
    names = [job.name.partition("px_")[0] if job.kind == "features" else job.name for job in jobs]
    return [(job.kind, name, job.seeds_to_do) for job, name in zip(jobs, names)]


def features(seeds=1):
    return [("features", f"default/{split}_64", seeds) for split in ("train", "val")]


def jobs_for(results, *needs, sheets=SHEETS, scale="smoke"):
    return jobs_of([ResultFile(*need) for need in needs], sheets, scale, results)


def test_a_table_trains_every_run_once_and_evaluates_its_cells(tmp_path):
    cells = [cell for (table, _, _), cell in SHEETS.paper.items() if table == "table1"]
    jobs = jobs_of(needed("table1", SHEETS, "paper", tmp_path).needs, SHEETS, "paper", tmp_path)
    runs = [job.run for job in jobs if job.kind == "pretrain"]
    assert sorted(runs) == sorted({cell["run"] for cell in cells})
    evaluations = [job.name for job in jobs if job.kind == "evaluate"]
    assert sorted(evaluations) == sorted({f"{cell['run']}/{cell['evaluation']}" for cell in cells})
    assert len(jobs) == len(runs) + len(evaluations)


def test_a_run_that_several_targets_share_is_there_once(tmp_path):
    jobs = jobs_for(
        tmp_path, ("evaluate", "default", "finetune"), ("evaluate", "default", "knn"), ("pretrain", "default")
    )
    assert kinds(jobs) == [
        ("pretrain", "default", 1),
        ("evaluate", "default/finetune", 3),
        *features(),
        ("evaluate", "default/knn", 3),
    ]


def test_finished_results_are_recognised_by_their_config(tmp_path):
    needs = ("evaluate", "default", "knn"), ("evaluate", "default", "probe")
    training = SHEETS.pretraining("smoke", "default")
    finish_training(tmp_path, training)
    finish_evaluation(tmp_path, SHEETS.evaluation("smoke", "default", "knn"))
    done = [("pretrain", "default", 0), ("evaluate", "default/knn", 0), *features(), ("evaluate", "default/probe", 3)]
    assert kinds(jobs_for(tmp_path, *needs)) == done
    finish_training(tmp_path, training | {"config_hash": "of another day"})
    both = [[*features(), ("evaluate", f"default/{name}", 3)] for name in ("knn", "probe")]
    assert kinds(jobs_for(tmp_path, *needs)) == [("pretrain", "default", 1), *both[0], *both[1]]


def test_a_lost_encoder_is_trained_only_for_an_evaluation_to_do(tmp_path):
    finish_evaluation(tmp_path, SHEETS.evaluation("smoke", "default", "knn"))
    assert kinds(jobs_for(tmp_path, ("evaluate", "default", "knn"))) == [("evaluate", "default/knn", 0)]
    both = jobs_for(tmp_path, ("evaluate", "default", "knn"), ("evaluate", "default", "probe"))
    assert [job.seeds_to_do for job in both] == [1, 1, 1, 3, 1, 1, 3]


def test_features_that_were_kept_are_not_extracted_again(tmp_path):
    finish_training(tmp_path, SHEETS.pretraining("smoke", "default"))
    finish_features(tmp_path, SHEETS.evaluation("smoke", "default", "probe"), "val")
    jobs = jobs_for(tmp_path, ("evaluate", "default", "probe"))
    assert [(job.kind, job.seeds_to_do) for job in jobs] == [
        ("pretrain", 0), ("features", 1), ("features", 0), ("evaluate", 3),
    ]  # fmt: skip


def test_every_seed_counts(tmp_path):
    sheets = copied(tmp_path / "config", "thrice | swin_b_100ep | seeds=3")
    finish_training(tmp_path, sheets.pretraining("smoke", "thrice"), seed=1)
    (job,) = jobs_for(tmp_path, ("pretrain", "thrice"), sheets=sheets)
    assert (job.seeds, job.seeds_to_do) == (3, 2)


def test_a_longer_run_needs_the_first_stage_of_the_shorter_but_not_its_end(tmp_path):
    sheets = copied(tmp_path / "config", *ROWS)
    long = [("first_stage", "short", 1), ("first_stage", "long", 1), ("pretrain", "long", 1)]
    assert kinds(jobs_for(tmp_path, ("pretrain", "long"), sheets=sheets)) == long
    both = jobs_for(tmp_path, ("pretrain", "long"), ("pretrain", "short"), sheets=sheets)
    assert kinds(both) == [long[0], ("pretrain", "short", 1), *long[1:]]


def test_a_first_stage_is_kept_for_longer_runs(tmp_path):
    sheets = copied(tmp_path / "config", *ROWS)
    for run in ("short", "long"):
        finish_first_stage(tmp_path, sheets.pretraining("smoke", run))
    jobs = jobs_for(tmp_path, ("pretrain", "long"), sheets=sheets)
    assert kinds(jobs) == [("first_stage", "long", 0), ("pretrain", "long", 1)]
    finish_first_stage(tmp_path, sheets.pretraining("smoke", "short") | {"config_hash": "of another day"})
    finish_first_stage(tmp_path, sheets.pretraining("smoke", "long") | {"config_hash": "of another day"})
    jobs = jobs_for(tmp_path, ("pretrain", "long"), sheets=sheets)
    assert [job.seeds_to_do for job in jobs] == [1, 1, 1]
