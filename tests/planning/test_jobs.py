"""Which jobs a target needs, and which are done."""

import json
from pathlib import Path

import pytest
from sheets import (
    CONFIG,
    copied,
    evaluations,
    finish_data,
    finish_evaluation,
    finish_features,
    finish_first_stage,
    finish_tokenizer,
    finish_training,
    trainings,
)

from simmim import PACKED_FORMAT
from simmim.config.sheets import Sheets
from simmim.data.index import index_sha256
from simmim.jobs import Jobs
from simmim.planning.jobs import groups_of
from simmim.planning.target import needed
from simmim.storage import records

SHEETS = Sheets(CONFIG)
ROWS = "short | with_steps | ", "long | with_steps | train.epochs=300 init.run=short"
CODES = (
    "codes | swin_b_100ep | target=tokens target.tokenizer=colours_512 target.resolution_px=12 loss.name=cross_entropy"
)


@pytest.fixture
def jobs(tmp_path):
    """The project's jobs, of which only the data of the smallest scale are made."""
    return finish_data(Jobs(SHEETS, str(tmp_path)), "smoke")


def kinds(jobs, *files):
    """Every group; of features the size and not their full name."""
    groups = groups_of(files, jobs)
    names = [each.name.partition("px_")[0] if each.kind == "features" else each.name for each in groups]
    return [(group.kind, name, group.seeds_to_do) for group, name in zip(groups, names)]


def features(seeds=1):
    return [("features", "default/64", seeds)]


def test_a_table_trains_every_run_once_and_evaluates_its_cells(jobs):
    cells = [cell for (table, _, _), cell in SHEETS.paper.items() if table == "table1"]
    groups = groups_of(needed("table1", jobs, "paper").files, jobs)
    runs = [group.run for group in groups if group.kind == "pretrain"]
    assert sorted(runs) == sorted({cell.run for cell in cells})
    found = [group.name for group in groups if group.kind == "evaluate"]
    assert sorted(found) == sorted({f"{cell.run}/{cell.evaluation}" for cell in cells})
    assert len(groups) == len(runs) + len(found)


def test_runs_come_in_the_order_of_the_sheet(jobs):
    runs = [group.run for group in groups_of(needed("table1", jobs, "paper").files, jobs)]
    order = [SHEETS.all_runs.index(run) for run in runs]
    assert order == sorted(order) and len(set(order)) > 3


def test_a_run_that_several_targets_share_is_there_once(jobs):
    files = evaluations(jobs, "smoke", "default", "finetune", "knn") + trainings(jobs, "smoke", "default")
    assert kinds(jobs, *files) == [
        ("pretrain", "default", 1),
        ("evaluate", "default/finetune", 3),
        *features(),
        ("evaluate", "default/knn", 3),
    ]


def test_finished_results_are_recognised_by_their_config(jobs):
    files = evaluations(jobs, "smoke", "default", "knn", "probe")
    finish_training(jobs, "smoke", "default")
    finish_evaluation(jobs, "smoke", "default", "knn")
    done = [("pretrain", "default", 0), ("evaluate", "default/knn", 0), *features(), ("evaluate", "default/probe", 3)]
    assert kinds(jobs, *files) == done
    finish_training(jobs, "smoke", "default", role="another")
    both = [[*features(), ("evaluate", f"default/{name}", 3)] for name in ("knn", "probe")]
    assert kinds(jobs, *files) == [("pretrain", "default", 1), *both[0], *both[1]]


def test_an_evaluation_made_with_another_config_is_repeated_alone(jobs):
    files = evaluations(jobs, "smoke", "default", "finetune", "attentive")
    finish_training(jobs, "smoke", "default")
    finish_evaluation(jobs, "smoke", "default", "finetune")
    finish_evaluation(jobs, "smoke", "default", "attentive", seeds=7)
    assert kinds(jobs, *files) == [
        ("pretrain", "default", 0),
        ("evaluate", "default/finetune", 0),
        ("evaluate", "default/attentive", 3),
    ]


def test_a_lost_encoder_is_trained_only_for_an_evaluation_to_do(jobs):
    finish_evaluation(jobs, "smoke", "default", "knn")
    assert kinds(jobs, *evaluations(jobs, "smoke", "default", "knn")) == [("evaluate", "default/knn", 0)]
    both = kinds(jobs, *evaluations(jobs, "smoke", "default", "knn", "probe"))
    assert [seeds for *_, seeds in both] == [1, 1, 3, 1, 3]


def test_a_lost_encoder_is_trained_again_where_it_is_asked_for(jobs):
    finish_training(jobs, "smoke", "default")
    encoder = jobs.job("pretrain", scale="smoke", run="default", seed=0).output("encoder")
    assert kinds(jobs, str(encoder)) == [("pretrain", "default", 0)]
    encoder.unlink()
    assert kinds(jobs, str(encoder)) == [("pretrain", "default", 1)]
    assert kinds(jobs, *trainings(jobs, "smoke", "default")) == [("pretrain", "default", 0)]


def test_features_that_were_kept_are_not_extracted_again(jobs):
    file = evaluations(jobs, "smoke", "default", "probe")
    finish_training(jobs, "smoke", "default")
    finish_features(jobs, "smoke", "default", "probe")
    assert [(kind, seeds) for kind, _, seeds in kinds(jobs, *file)] == [
        ("pretrain", 0),
        ("features", 0),
        ("evaluate", 3),
    ]
    finish_features(jobs, "smoke", "default", "probe", image_px=63)
    assert kinds(jobs, *file)[1:2] == features()


def test_features_that_a_finished_evaluation_has_read_are_not_shown(jobs):
    finish_training(jobs, "smoke", "default")
    finish_features(jobs, "smoke", "default", "probe")
    finish_evaluation(jobs, "smoke", "default", "probe")
    done = [("pretrain", "default", 0), ("evaluate", "default/probe", 0)]
    assert kinds(jobs, *evaluations(jobs, "smoke", "default", "probe")) == done


def test_features_whose_extraction_was_interrupted_are_missing(jobs):
    finish_training(jobs, "smoke", "default")
    finish_features(jobs, "smoke", "default", "probe")
    name = SHEETS.read_features("smoke", "default", "probe").name
    folder = jobs.job("features", scale="smoke", run="default", seed=0, features=name).output("folder")
    (folder / "manifest.json").unlink()
    assert kinds(jobs, *evaluations(jobs, "smoke", "default", "probe"))[1:2] == features()


def test_every_seed_counts(tmp_path):
    jobs = finish_data(Jobs(copied(tmp_path / "config", "thrice | swin_b_100ep | seeds=3"), str(tmp_path)), "smoke")
    finish_training(jobs, "smoke", "thrice", seed=1)
    (group,) = groups_of(trainings(jobs, "smoke", "thrice"), jobs)
    assert (group.seeds, group.seeds_to_do) == (3, 2)


def test_a_longer_run_needs_the_first_stage_of_the_shorter_but_not_its_end(tmp_path):
    jobs = finish_data(Jobs(copied(tmp_path / "config", *ROWS), str(tmp_path)), "smoke")
    short, long = (trainings(jobs, "smoke", run) for run in ("short", "long"))
    wanted = [("first_stage", "short", 1), ("first_stage", "long", 1), ("pretrain", "long", 1)]
    assert kinds(jobs, *long) == wanted
    assert kinds(jobs, *long, *short) == [wanted[0], ("pretrain", "short", 1), *wanted[1:]]


def test_a_first_stage_is_kept_for_longer_runs(tmp_path):
    jobs = finish_data(Jobs(copied(tmp_path / "config", *ROWS), str(tmp_path)), "smoke")
    long = trainings(jobs, "smoke", "long")
    for run in ("short", "long"):
        finish_first_stage(jobs, "smoke", run)
    assert kinds(jobs, *long) == [("first_stage", "long", 0), ("pretrain", "long", 1)]
    finish_first_stage(jobs, "smoke", "short", role="another")
    assert [seeds for *_, seeds in kinds(jobs, *long)] == [1, 1, 1]


def test_a_first_stage_with_a_tokenizer_is_recognised(tmp_path):
    """Its manifest holds the digest of the tokenizer beside the config."""
    row = CODES.replace("codes | swin_b_100ep", "codes | with_steps")
    jobs = finish_data(Jobs(copied(tmp_path / "config", row), str(tmp_path)), "smoke")
    finish_tokenizer(jobs, "smoke", "colours_512")
    finish_first_stage(jobs, "smoke", "codes", tokenizer_sha256="0123")
    assert ("first_stage", "codes", 0) in kinds(jobs, *trainings(jobs, "smoke", "codes"))


def test_a_tokenizer_is_made_once_and_only_for_a_training_to_do(tmp_path):
    jobs = finish_data(
        Jobs(copied(tmp_path / "config", CODES, CODES.replace("codes |", "again |")), str(tmp_path)), "smoke"
    )
    both = [*trainings(jobs, "smoke", "codes"), *trainings(jobs, "smoke", "again")]
    tokenizer, first, second = ("tokenizer", "colours_512", 1), ("pretrain", "codes", 1), ("pretrain", "again", 1)
    assert kinds(jobs, *both) == [tokenizer, first, second]
    finish_training(jobs, "smoke", "codes")
    assert kinds(jobs, both[0]) == [("pretrain", "codes", 0)]
    finish_tokenizer(jobs, "smoke", "colours_512")
    assert kinds(jobs, *both) == [("tokenizer", "colours_512", 0), ("pretrain", "codes", 0), second]
    finish_tokenizer(jobs, "smoke", "colours_512", seed=5)
    assert kinds(jobs, *both) == [tokenizer, first, second]


def test_a_picture_needs_the_trained_model(jobs):
    picture = jobs.path("reconstruct", "pictures", scale="smoke", run="default", seed=0)
    finish_training(jobs, "smoke", "default")
    job = jobs.job("pretrain", scale="smoke", run="default", seed=0)
    assert kinds(jobs, picture) == [("pretrain", "default", 1)], "its head is missing"
    job.output("head").touch()
    assert kinds(jobs, picture) == [("pretrain", "default", 0)]


def test_figures_ask_for_the_pictures_of_the_first_seed_alone(jobs):
    pictures = jobs.job("figure", scale="small", name="figure5").input_files()
    assert jobs.sheets.pretraining("small", "default").seeds > 1
    assert pictures == [
        jobs.path("reconstruct", "pictures", scale="small", run=run, seed=0) for run in ("default", "loss_full")
    ]


def test_data_that_are_packed_again_repeat_nothing_unless_they_are_others(jobs):
    finish_training(jobs, "smoke", "default")
    finish_evaluation(jobs, "smoke", "default", "finetune")
    finetune, attentive = evaluations(jobs, "smoke", "default", "finetune", "attentive")
    index = jobs.job("pack", scale="smoke", dataset="earth_climate", split="val").output("index")
    index.unlink()
    jobs.job("demo_data", scale="smoke").output("card").unlink()
    expected = [("pretrain", "default", 0), ("evaluate", "default/finetune", 0), ("evaluate", "default/attentive", 3)]
    assert kinds(jobs, finetune, attentive) == expected
    records.write(Path(finetune), [], config=jobs.maker(finetune).config.as_json(), data_digests={"val": "a"})
    for digest, seeds in (("a", 0), ("b", 3)):
        packed = {"format": PACKED_FORMAT, "digest": digest}
        index.write_text(json.dumps(packed | {"index_sha256": index_sha256(packed)}))
        assert kinds(jobs, finetune) == [expected[0], ("evaluate", "default/finetune", seeds)]
