"""Rows, recipes and scales become completed configs, and what is wrong in them is named before any job starts."""

import shutil
from pathlib import Path

import pytest

from simmim.config import DoesNotFit, Sheets, has_first_stage
from simmim.sheets import parse_set, read_sheet, read_yaml

CONFIG = Path(__file__).parents[1] / "config"


@pytest.fixture
def folder(tmp_path):
    """A copy of the project's sheets that a test may spoil."""
    return Path(shutil.copytree(CONFIG, tmp_path / "config"))


def replace(path, old, new):
    text = path.read_text()
    assert old in text, f"{old!r} is not in {path.name}"
    path.write_text(text.replace(old, new))


@pytest.mark.parametrize("scale", Sheets(CONFIG).scales())
def test_every_row_resolves_at_every_scale(scale):
    sheets = Sheets(CONFIG)
    hashes = [sheets.pretraining(scale, run)["config_hash"] for run in sheets.runs(scale)]
    hashes += [sheets.evaluation(scale, *row)["config_hash"] for row in sheets.evaluations(scale)]
    assert len(set(hashes)) == len(hashes) > 4


def test_the_paper_s_default_run_has_the_paper_s_settings():
    config = Sheets(CONFIG).pretraining("paper", "default")
    assert config["geometry"] == {"image_px": 192, "masked_patch_px": 32}
    assert (config["mask"]["ratio"], config["loss"]) == (0.6, {"name": "l1", "area": "masked"})
    train = config["train"]
    assert train["base_lr"] * train["batch"] / train["base_lr_batch"] == pytest.approx(8e-4)
    assert (train["epochs"], train["warmup_epochs"], train["weight_decay"]) == (100, 10, 0.05)


def test_a_scale_converts_the_paper_s_pixels_and_brings_its_own_widths():
    sheets = Sheets(CONFIG)
    smoke, paper = (sheets.pretraining(scale, "mask_r16_r60") for scale in ("smoke", "paper"))
    assert (paper["geometry"]["masked_patch_px"], smoke["geometry"]["masked_patch_px"]) == (16, 8)
    assert smoke["encoder"]["embed_dim"] < paper["encoder"]["embed_dim"]
    assert smoke["mask"] == paper["mask"]


def test_a_row_that_a_scale_cannot_have_does_not_fit(folder):
    replace(folder / "pretrain.tsv", "geometry.masked_patch_px=16", "geometry.masked_patch_px=4")
    with pytest.raises(DoesNotFit, match=r"row 'mask_r16_r60'.*masked_patch_px of 4 px"):
        Sheets(folder).pretraining("smoke", "mask_r16_r60")


def test_a_comment_changes_nothing_and_a_value_changes_its_run_and_what_stands_on_it(folder):
    before = Sheets(folder)
    rows = [(before.pretraining("demo", "default"), before.evaluation("demo", "default", "knn"))]
    recipe = folder / "recipes" / "swin_b_100ep.yaml"
    recipe.write_text("# a remark\n" + recipe.read_text())
    read_yaml.cache_clear()
    rows.append((Sheets(folder).pretraining("demo", "default"), Sheets(folder).evaluation("demo", "default", "knn")))
    replace(recipe, "weight_decay: 0.05", "weight_decay: 0.06")
    read_yaml.cache_clear()
    rows.append((Sheets(folder).pretraining("demo", "default"), Sheets(folder).evaluation("demo", "default", "knn")))
    read_yaml.cache_clear()
    assert rows[0] == rows[1]
    assert all(old["config_hash"] != new["config_hash"] for old, new in zip(rows[1], rows[2]))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("loss.area=full", "loss.area=ful", r"pretrain.tsv, row 'loss_full': loss.area = 'ful'"),
        ("loss.area=full", "los.area=full", r"row 'loss_full': unknown section.*'los'; did you mean 'loss'"),
        ("loss.area=full", "loss.aera=full", r"unknown setting 'loss.aera'; did you mean 'loss.area'"),
        ("loss.area=full", "train.epoch=3", r"unknown setting 'train.epoch'; did you mean 'train.epochs'"),
        ("loss.area=full", "loss.area", r"'loss.area' in column 'set' is not key=value"),
        ("loss.area=full", "geometry=64", r"'geometry=64' in column 'set': give one of its settings"),
        ("loss.area=full", "mask.ratio=[1,2]", r"only single values"),
        ("loss_full\tswin_b_100ep", "loss_full\tswin_b_100epp", r"unknown recipe.*did you mean 'swin_b_100ep'"),
        ("loss_full\tswin_b_100ep", "loss_full\tknn", r"recipe 'knn' is for stage 'evaluate', not for 'pretrain'"),
    ],
)
def test_a_wrong_row_is_named_with_the_nearest_valid_choice(folder, old, new, message):
    replace(folder / "pretrain.tsv", old, new)
    with pytest.raises(ValueError, match=message):
        Sheets(folder).pretraining("smoke", "loss_full")


def test_an_unknown_run_or_evaluation_is_named_with_the_nearest():
    with pytest.raises(ValueError, match="unknown run 'defualt'; did you mean 'default'"):
        Sheets(CONFIG).pretraining("smoke", "defualt")
    with pytest.raises(ValueError, match="unknown evaluation 'default/finetun'; did you mean 'default/finetune'"):
        Sheets(CONFIG).evaluation("smoke", "default", "finetun")


def test_settings_of_a_task_are_checked(folder):
    replace(folder / "recipes" / "knn.yaml", "image_px: 192", "image_px: 192, neighbors: 3")
    read_yaml.cache_clear()
    with pytest.raises(ValueError, match=r"row 'default knn': unknown setting 'neighbors'; did you mean 'neighbours'"):
        Sheets(folder).evaluation("smoke", "default", "knn")
    read_yaml.cache_clear()


def test_duplicate_rows_keys_and_values_are_refused(folder, tmp_path):
    sheet = folder / "pretrain.tsv"
    sheet.write_text(sheet.read_text() + "default\tswin_b_100ep\t\n")
    with pytest.raises(ValueError, match=r"pretrain.tsv, line \d+: a second row 'default'"):
        Sheets(folder)
    twice = tmp_path / "twice.yaml"
    twice.write_text("a: 1\nb: {c: 1, c: 2}\n")
    with pytest.raises(ValueError, match=r"line 2: .*'c'.* given twice"):
        read_yaml(twice)
    with pytest.raises(ValueError, match="'a' is given twice"):
        parse_set("a=1 a=2")


def test_rows_with_too_many_cells_are_refused_and_missing_ones_are_empty(tmp_path):
    sheet = tmp_path / "sheet.tsv"
    sheet.write_text("# a remark\nrun\tset\none\ntwo\ta=1\n")
    assert read_sheet(sheet, ("run",))[("one",)]["set"] == ""
    sheet.write_text("run\tset\none\ta=1\textra\n")
    with pytest.raises(ValueError, match="line 2: 3 cells under 2 columns"):
        read_sheet(sheet, ("run",))


def test_published_values_are_out_of_reach_of_training_and_evaluation():
    package = CONFIG.parent / "simmim"
    files = [*(package / "evaluate").glob("*.py"), *(package / "train").glob("*.py"), package / "pretrain.py"]
    assert len(files) > 15
    for path in files:
        for module in ("simmim.config", "simmim.sheets", "simmim.report", "paper.tsv"):
            assert module not in path.read_text(), f"{path} reads {module}"


def with_rows(folder, *rows):
    sheet = folder / "pretrain.tsv"
    sheet.write_text(sheet.read_text() + "".join("\t".join(row) + "\n" for row in rows))
    recipe = (folder / "recipes" / "swin_b_100ep.yaml").read_text()
    steps = recipe.replace("schedule: cosine", "schedule: step\n  milestones: [0.9, 0.95]")
    (folder / "recipes" / "steps.yaml").write_text(steps)
    return Sheets(folder)


def test_a_longer_run_shares_the_first_stage_of_a_shorter_one(folder):
    rows = ("short", "steps", ""), ("long", "steps", "train.epochs=300 start.run=short")
    sheets = with_rows(folder, *rows)
    assert sheets.pretraining("paper", "long")["start"]["run"] == "short"
    assert has_first_stage(sheets.pretraining("paper", "short"))
    assert not has_first_stage(sheets.pretraining("paper", "default"))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ("start.run=shrt", "unknown run 'shrt'; did you mean 'short'"),
        ("start.run=short mask.ratio=0.5", "only runs that differ in length share a first stage; mask.ratio: 0.6"),
        ("start.run=short train.epochs=50", "its first milestone, 90 epochs, comes after this run's, 45 epochs"),
        ("start.run=default train.schedule=cosine", "only runs with train.schedule=step have a first stage"),
        ("start.run=short seeds=2", "it has 1 seeds, this row 2"),
        ("method=dino", "method dino has no mask, head, target, geometry.masked_patch_px"),
        ("role=segmnt", "unknown data role 'segmnt'; did you mean 'segment'"),
    ],
)
def test_an_impossible_start_is_named(folder, settings, message):
    sheets = with_rows(folder, ("short", "steps", ""), ("odd", "steps", settings))
    with pytest.raises(ValueError, match=rf"pretrain.tsv, row 'odd': .*{message}"):
        sheets.pretraining("paper", "odd")


def test_a_named_component_gets_the_widths_of_the_scale_but_for_what_the_row_says(folder):
    sheets = with_rows(folder, ("head", "swin_b_100ep", "head=big head.depth=3"))
    scale = folder / "scales" / "smoke.yaml"
    scale.write_text(scale.read_text() + "heads: {big: {width: 5, depth: 2}}\n")
    assert sheets.pretraining("smoke", "head")["head"] == {"name": "big", "width": 5, "depth": 3}
    assert sheets.pretraining("paper", "head")["head"] == {"name": "big", "depth": 3}


def test_a_role_that_a_scale_has_no_data_for_does_not_fit(folder):
    sheets = with_rows(folder, ("dense", "swin_b_100ep", "role=other"))
    scale = folder / "scales" / "paper.yaml"
    scale.write_text(scale.read_text().replace("pretrain: imagenet,", "pretrain: imagenet, other: imagenet,"))
    assert sheets.pretraining("paper", "dense")["data"]["train"]["dataset"] == "imagenet"
    with pytest.raises(DoesNotFit, match="no data set has the role 'other' at this scale"):
        sheets.pretraining("smoke", "dense")
