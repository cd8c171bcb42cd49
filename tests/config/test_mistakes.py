"""What is wrong in a sheet is one line with file, row, value and the nearest valid choice, before any job starts."""

import pytest
from helpers.sheets import CONFIG, append, replace

from simmim.config.reading import parse_set, read_yaml
from simmim.config.sheets import Sheets


@pytest.mark.parametrize(
    ("sheet", "cells", "message"),
    [
        ("pretrain", ("default", "swin_b_100ep"), r"pretrain.tsv, line \d+: a second row 'default'"),
        ("evaluate", ("default", "knn", "probe"), r"evaluate.tsv, line \d+: a second row 'default knn'"),
        ("datasets", ("coco", "val", "coco"), r"datasets.tsv, line \d+: a second row 'coco val'"),
        ("paper", ("table4", "full image", "top-1 (%)"), r"paper.tsv, line \d+: a second row 'table4 full image"),
        (
            "evaluate",
            ("defualt", "new", "knn"),
            r"evaluate.tsv, row 'defualt new': unknown run 'defualt'; did you mean 'default'",
        ),
        (
            "paper",
            ("table1", "a", "b", "mask_r32_r04", "finetune", "top1", "1"),
            r"paper.tsv, row 'table1 a b': unknown run 'mask_r32_r04'; did you mean 'mask_r32_r",
        ),
        (
            "paper",
            ("table1", "a", "b", "default", "finetun", "top1", "1"),
            r"row 'table1 a b': unknown evaluation of run 'default' 'finetun'; did you mean 'finetune'\?",
        ),
        (
            "paper",
            ("table1", "a", "b", "default", "segment segment_lr3", "miou", "1"),
            r"row 'table1 a b': unknown evaluation of run 'default' 'segment_lr3'; did you mean 'segment_lr3e4'",
        ),
        (
            "paper",
            ("table1", "a", "b", "default", "segment pretrain", "loss", "1"),
            r"row 'table1 a b': 'segment pretrain': only a score can be the best of several evaluations",
        ),
        (
            "paper",
            ("table2", "a", "b", "default", "pretrain", "relative_cost", "1x", "", "defalt"),
            r"row 'table2 a b': unknown run 'defalt'; did you mean 'default'",
        ),
    ],
)
def test_a_sheet_with_a_wrong_row_is_refused_as_it_is_read(folder, sheet, cells, message):
    append(folder / f"{sheet}.tsv", *cells)
    with pytest.raises(ValueError, match=message) as refused:
        Sheets(folder)
    assert "\n" not in str(refused.value)


def test_a_large_run_that_there_is_not_is_refused(folder):
    replace(folder / "config.yaml", "large: [swin_v2_h_800ep", "large: [swin_v2_h_800e")
    read_yaml.cache_clear()
    with pytest.raises(
        ValueError, match=r"config.yaml, large: unknown run 'swin_v2_h_800e'; did you mean 'swin_v2_h_800ep'"
    ):
        Sheets(folder)


def test_a_scale_that_names_what_no_sheet_has_is_refused(folder):
    append(folder / "scales" / "paper.yaml", "runs: [defualt]")
    append(folder / "scales" / "smoke.yaml", "without: [segmnt]")
    read_yaml.cache_clear()
    with pytest.raises(ValueError, match="unknown run among 'runs' 'defualt'; did you mean 'default'"):
        Sheets(folder).runs("paper")
    with pytest.raises(ValueError, match="unknown evaluation among 'without' 'segmnt'; did you mean 'segment'"):
        Sheets(folder).evaluations("smoke")


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
        (
            "loss.area=full",
            "init.run=step_10ep",
            r"row 'loss_full': unknown run 'step_10ep'; did you mean 'step_100ep'",
        ),
        ("loss.area=full", "loss.name=l3", r"loss.name = 'l3': Input should be 'l1', 'l2', 'smooth_l1'"),
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
    with pytest.raises(
        ValueError, match=r"row 'default knn': unknown setting 'settings.neighbors'; did you mean 'settings.neighbours'"
    ):
        Sheets(folder).evaluation("smoke", "default", "knn")


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


def test_seeds_of_an_unknown_run_name_it(folder):
    replace(folder / "scales" / "small.yaml", "loss_full: 10", "los_full: 10")
    with pytest.raises(ValueError, match=r"small.yaml: unknown run among 'seeds' 'los_full'; did you mean 'loss_full'"):
        Sheets(folder).runs("small")
