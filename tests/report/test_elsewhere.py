"""Numbers of a run beside what other machines gave: inside, outside, unknown; and the file that they stand in."""

from __future__ import annotations

import dataclasses

import pandas as pd
import pyarrow as pa
import pytest
from made_up import FACTS, write_evaluation, write_training

from simmim.report import elsewhere
from simmim.report.results import Results
from simmim.storage.parquet import write_sealed

FEW = dataclasses.replace(FACTS, loss_areas={"default": "masked"}, dataset_labels={"v2": "made-up v2"})


@pytest.fixture(scope="module")
def mine(tmp_path_factory) -> pd.DataFrame:
    """A validation loss, the top-1 on two sets, a probe of several blocks."""
    root = tmp_path_factory.mktemp("mine")
    files = [write_training(root, "default", 0, 0.25)]
    files += [write_evaluation(root, "default", "finetune", {("top1", ""): [60, 61, 65], ("top1", "v2"): [50, 51, 52]})]
    probe = {("top1", "block 1"): [20], ("top1", "block 2"): [30], ("top1", "chosen"): [30], ("chosen_block", ""): [2]}
    files += [write_evaluation(root, "default", "probe", probe)]
    return elsewhere.numbers(Results(files, FEW), FEW)


def of(mine: pd.DataFrame, machine: str = "one", threads: int = 1, plus: float = 0.0) -> pd.DataFrame:
    """What another machine gave: all numbers so much higher."""
    setting = {"machine": machine, "torch": "2", "capability": "native", "precision": "fp32", "threads": threads}
    return mine.assign(**setting, value=mine["value"] + plus)


def said(mine: pd.DataFrame, *others: pd.DataFrame) -> list[str]:
    return list(elsewhere.compared(mine, pd.concat(others), FEW))


def test_what_tables_compare_is_collected(mine):
    found = {(row.evaluation, row.dataset, row.metric): row.value for row in mine.itertuples()}
    assert found == {
        ("pretrain", "made_up", "validation_loss"): 0.25,
        ("finetune", "made_up", "top1"): 62,
        ("finetune", "v2", "top1"): 51,
        ("probe", "made_up", "top1"): 30,
    }
    assert {*mine["config_hash"]} == {f"config-default-{name}" for name in ("pretrain", "finetune", "probe")}


def test_numbers_inside_are_one_sentence(mine):
    others = of(mine, plus=-1), of(mine, threads=2, plus=1), of(mine, "another")
    assert said(mine, *others) == ["All 4 numbers lie within the 95 % ranges of what 2 machines gave in 3 settings."]


def test_a_number_is_inside_as_it_is_printed(mine):
    almost = of(mine, plus=0.00004), of(mine, "another", plus=0.00002)
    assert said(mine, *almost) == ["All 4 numbers lie within the 95 % ranges of what 2 machines gave in 2 settings."]
    equal = of(mine, plus=0.0002), of(mine, "another", plus=0.000201)
    assert len(said(mine, *equal)) == 2  # the fourth decimal of a loss is printed


def test_each_number_outside_is_a_line_with_its_range(mine):
    off = mine.assign(value=mine["value"] + pd.Series([-0.5, 0, 0, 3]))
    assert said(off, of(mine, plus=-0.01), of(mine, "another", plus=0.01)) == [
        "2 of 4 numbers lie outside the 95 % ranges of what 2 machines gave in 2 settings:",
        "  the default: pre-training, validation loss −0.2500 (range 0.0299 to 0.4701)",
        "  the default: fine-tuning on made-up v2, top-1 (%) 54.0 (range 50.8 to 51.2)",
    ]


def test_a_number_that_is_not_finite_is_outside(mine):
    broken = mine.assign(value=mine["value"].where(mine["metric"] == "top1"))
    first = said(broken, of(mine), of(mine, threads=2, plus=0.01))[0]
    assert first == "1 of 4 numbers lies outside the 95 % ranges of what 1 machine gave in 2 settings:"


def test_a_number_that_all_settings_agree_on_is_neither_inside_nor_outside(mine):
    """Scores of frozen random features have no spread that another CPU could be held against."""
    frozen = mine["evaluation"] == "probe"
    other = of(mine, "another", plus=0.01).assign(value=lambda of: of["value"].where(~frozen, mine["value"]))
    same = "The same in all settings elsewhere, so that there is no range: the default: linear probe, top-1 (%) 30.0"
    judged = "All 3 numbers lie within the 95 % ranges of what 2 machines gave in 2 settings."
    assert said(mine, of(mine), other) == [judged, f"{same}."]
    here = mine.assign(value=mine["value"].where(~frozen, 30.2))
    assert said(here, of(mine), other) == [judged, f"{same} (here 30.2)."]
    assert said(here[frozen], of(mine), other) == [f"{same} (here 30.2)."]


def test_a_number_that_the_file_does_not_have_is_named(mine):
    known = mine[mine["evaluation"] != "probe"]
    assert said(mine, of(known), of(mine, threads=2, plus=0.01)) == [
        "All 3 numbers lie within the 95 % ranges of what 1 machine gave in 2 settings.",
        "Not measured elsewhere in two settings: the default: linear probe, top-1 (%).",
    ]


def test_numbers_of_other_configs_are_no_range(mine):
    known = of(mine, "another").assign(config_hash="of another demo")
    none = ["None of the 4 numbers was measured elsewhere in two settings or more with the same configs."]
    assert said(mine, known) == none and said(mine, known, of(mine)) == none
    two = of(mine), of(mine, threads=2, plus=0.01)
    assert said(mine, known, *two)[0].endswith("what 1 machine gave in 2 settings.")


def test_machines_are_merged_and_a_setting_replaces_itself(mine, tmp_path):
    file = tmp_path / "numbers.parquet"
    for measured in (of(mine), of(mine, "another", plus=2), of(mine, "another", threads=2, plus=1)):
        elsewhere.add(file, measured)
    (top1,) = elsewhere.ranges(elsewhere.read(file)).query("evaluation == 'probe'").itertuples()
    assert (top1.least, top1.most, top1.settings) == (30, 32, 3)
    elsewhere.add(file, of(mine, "another", plus=5))
    (top1,) = elsewhere.ranges(elsewhere.read(file)).query("evaluation == 'probe'").itertuples()
    assert (top1.least, top1.most, top1.settings) == (30, 35, 3)
    assert len(elsewhere.read(file)) == 12


def test_the_order_of_machines_leaves_the_same_file(mine, tmp_path):
    both = of(mine), of(mine, "another", plus=2)
    for name, order in (("a", both), ("b", both[::-1])):
        for measured in order:
            elsewhere.add(tmp_path / name, measured)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_file_that_is_not_there_has_no_numbers(tmp_path):
    assert not len(elsewhere.read(tmp_path / "absent.parquet"))


def test_a_damaged_file_is_one_sentence(mine, tmp_path):
    file = tmp_path / "numbers.parquet"
    elsewhere.add(file, of(mine))
    content = file.read_bytes()
    for damaged in (content[:-100], content.replace(b"native", b"nativf"), b""):
        file.write_bytes(damaged)
        with pytest.raises(ValueError, match=rf"{file} is .*damaged"):
            elsewhere.read(file)
    write_sealed(file, pa.table({"run": ["default"]}))
    with pytest.raises(ValueError, match=r"holds no numbers of machines: its columns are \['run'\]"):
        elsewhere.read(file)
