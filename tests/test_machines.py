"""What measures the demo on several machines, and the verb that compares, with made-up records."""

import contextlib
import sys
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest

from simmim.__main__ import main
from simmim.config.sheets import Sheets
from simmim.jobs import Jobs
from simmim.machine import cpu_name
from simmim.report import elsewhere
from simmim.storage import records

ROOT = Path(__file__).parents[1]
sys.path.append(str(ROOT / "benchmarks"))

import demo_ranges  # noqa: E402
import machines  # noqa: E402
from machines import Setting  # noqa: E402

COMPARE = ["compare", "--scale", "demo", "--config", str(ROOT / "config")]
ONE, TWO = Setting("default", "fp32", 1), Setting("native", "fp32", 2)


@pytest.fixture(scope="module")
def jobs():
    return Jobs(Sheets(ROOT / "config"))


def made_up_demo(folder: Path, jobs: Jobs, value: float) -> None:
    """Records of every evaluation of the demo, all with one value."""
    there = Jobs(jobs.sheets, str(folder))
    for (run, evaluation), found in machines.config_hashes(jobs).items():
        names = {"scale": "demo", "run": run}
        names |= {"seed": 0} if evaluation == "pretrain" else {"evaluation": evaluation}
        kind = "pretrain" if evaluation == "pretrain" else "evaluate"
        origin = records.Origin("demo", run, evaluation, 0, found, "code")
        metric = "validation_loss" if evaluation == "pretrain" else "top1"
        records.write(there.path(kind, "records", **names), [records.record(origin, 1, metric, value)])


@pytest.fixture
def measuring(monkeypatch, tmp_path, jobs):
    """A function that calls the program and returns the settings whose demo ran; those in `fail` are cut off."""
    monkeypatch.setattr(machines, "FILE", tmp_path / "demo_numbers.parquet")
    monkeypatch.setattr(machines, "of_this_machine", lambda: [ONE, TWO])

    def measure(*words, fail=()):
        ran = []

        def run(setting, folder):
            ran.append(setting)
            if setting in fail:
                raise KeyboardInterrupt
            made_up_demo(folder / "results", jobs, setting.threads)

        monkeypatch.setattr(machines, "run", run)
        monkeypatch.setattr(sys, "argv", ["machines.py", "--folder", str(tmp_path / "demos"), *words])
        with contextlib.suppress(KeyboardInterrupt):
            machines.main()
        return ran

    return measure


def test_what_is_done_is_kept_and_not_run_again(measuring, capsys):
    assert measuring(fail=[TWO]) == [ONE, TWO]
    known = elsewhere.read(machines.FILE)
    assert {*known["threads"]} == {1} and {*known["machine"]} == {cpu_name()}
    assert measuring() == [TWO]
    assert measuring() == []
    known = elsewhere.ranges(elsewhere.read(machines.FILE))
    assert {*zip(known["least"], known["most"], known["settings"])} == {(1, 2, 2)}
    assert "validation_loss" in capsys.readouterr().out


def test_only_what_is_named_runs(measuring):
    assert measuring("native-fp32-2") == [TWO]
    with pytest.raises(ValueError, match="unknown setting of this machine 'native-fp32-3'; did you mean"):
        measuring("native-fp32-3")


def test_numbers_of_an_earlier_demo_are_measured_again(measuring, jobs):
    measuring()
    known = elsewhere.read(machines.FILE)
    for changed in (known.assign(config_hash="older"), known[known["evaluation"] != "knn"]):
        assert not machines.is_done(ONE, changed, jobs)
    assert machines.is_done(ONE, known, jobs) and not machines.is_done(Setting("avx2", "fp32", 1), known, jobs)


def test_the_file_of_another_machine_is_added(measuring, tmp_path):
    measuring("native-fp32-2")
    other = tmp_path / "other.parquet"
    elsewhere.add(other, elsewhere.read(machines.FILE).assign(machine="another", value=7.0))
    assert measuring("--add", str(other)) == []
    known = elsewhere.read(machines.FILE)
    assert known["machine"].nunique() == 2 and elsewhere.ranges(known)["most"].max() == 7
    with pytest.raises(ValueError, match=r"absent\.parquet does not exist"):
        measuring("--add", str(tmp_path / "absent.parquet"))


def test_the_demo_ends_with_what_its_numbers_are_beside_others(measuring, jobs, tmp_path, capsys):
    words = [*COMPARE, "--results", str(tmp_path)]
    assert main(words) == 0 and "demo_numbers.parquet is not there" in capsys.readouterr().out
    measuring()
    capsys.readouterr()
    assert main(words) == 2
    error = capsys.readouterr().err
    assert "inputs are not there yet" in error and "report.html` makes them" in error
    numbers = len(machines.config_hashes(jobs))
    for value, sentence in (
        (12.4, f"All {numbers} numbers lie within"),
        (13, f"{numbers} of {numbers} numbers lie out"),
    ):
        made_up_demo(tmp_path, jobs, value)
        assert main(words) == 0
        assert capsys.readouterr().out.startswith(f"{sentence}")
    elsewhere.add(machines.FILE, elsewhere.read(machines.FILE).assign(config_hash="older"))
    assert main(words) == 0 and f"None of the {numbers} numbers was" in capsys.readouterr().out
    machines.FILE.write_bytes(b"PAR1")
    assert main(words) == 2
    error = capsys.readouterr().err
    assert "or is damaged" in error and error.count("\n") == 1


def test_neither_one_setting_nor_equal_ones_give_a_range(measuring):
    measuring("native-fp32-2")
    known = elsewhere.read(machines.FILE)
    assert elsewhere.ranges(known)["high"].isna().all()
    both = elsewhere.ranges(pd.concat([known, known.assign(machine="another")]))
    assert both["low"].isna().all() and {*zip(both["least"], both["most"])} == {(2, 2)}


def test_a_machine_is_foreseen_by_three_settings_of_others_at_least(monkeypatch):
    """Scores of one machine are 1 to 3, of the other 2 and 9; the third score is the same everywhere."""
    setting = {"torch": "2", "capability": "native", "precision": "fp32", "config_hash": "x", "dataset": "d"}
    rows = [
        {"machine": machine, "threads": threads, "run": run, "evaluation": "finetune", "metric": "top1", "value": value}
        for machine, values in {"one": (1.0, 2.0, 3.0), "another": (2.0, 9.0)}.items()
        for threads, value in enumerate(values)
        for run, value in {"default": value, "frozen": 5.0}.items()
    ]
    known = pd.DataFrame(rows).assign(**setting)
    monkeypatch.setattr(demo_ranges, "demo", lambda: SimpleNamespace(known=known))
    assert demo_ranges.foreseen().splitlines() == [
        "Of 2 numbers of another, 1 lie within the ranges that the 3 settings of other machines alone give (half of "
        "those of scores are wider than 7.0 points), and 1 between the lowest and the highest of these. 2 more are the "
        "same in all of these settings; 2 of them are so here, too.",
        "",
        "one is held against none: fewer than 3 settings of other machines are known.",
    ]


def test_a_training_of_the_demo_has_the_number_format_of_its_setting_unless_its_recipe_states_one(tmp_path, jobs):
    machines.checkout(tmp_path, "fp32")
    (tmp_path / "config" / "stale.tsv").touch()
    machines.checkout(tmp_path, "bf16")  # as an interrupted one goes on
    assert not (tmp_path / "config" / "stale.tsv").exists() and (tmp_path / "workflow" / "Snakefile").is_file()
    sheets = Sheets(tmp_path / "config")
    evaluations = [sheets.evaluation("demo", *each) for each in machines.facts(jobs.sheets, "demo").evaluated]
    trainings = [sheets.pretraining("demo", run).train for run in sheets.runs("demo")]
    trainings += [each.train for each in evaluations if each.train and each.evaluation != "probe"]
    assert len(trainings) > 10 and {each.precision for each in trainings} == {"bf16"}
    assert {each.train.precision for each in evaluations if each.evaluation == "probe"} == {"fp32"}


@pytest.mark.parametrize(
    ("best", "bf16", "names", "count"),
    [
        ("AVX512", True, {"default", "avx2", "native"}, 12),
        ("AVX2", False, {"default", "native"}, 4),
        ("DEFAULT", True, {"native"}, 4),
        ("SVE256", False, {"native"}, 2),
    ],
)
def test_settings_are_those_that_differ_on_a_cpu(best, bf16, names, count):
    found = machines.settings(best, bf16)
    assert {each.capability for each in found} == names and len({*map(str, found)}) == count
    assert {each.precision for each in found} == ({"bf16", "fp32"} if bf16 else {"fp32"})


def test_a_card_has_settings_of_its_own(monkeypatch):
    assert not any("cuda" in str(each) for each in machines.settings("AVX2", True))
    assert [*map(str, machines.settings("AVX2", False, True))][-2:] == ["cuda-bf16-1", "cuda-fp32-1"]
    assert [*map(str, machines.settings("AVX2", True, False))][-1] == "cuda-fp32-1"
    monkeypatch.setattr(machines.torch.cuda, "get_device_name", lambda: "a card")
    setting = Setting("cuda", "bf16", 1)
    assert setting.row()["machine"] == "a card" and setting.environment["SIMMIM_DEVICE"] == "cuda"


def test_a_setting_is_what_the_jobs_are_started_with(monkeypatch, tmp_path):
    started = []
    monkeypatch.setattr(machines.subprocess, "run", lambda command, **how: started.append((command, how)))
    monkeypatch.setattr(machines, "cpus", lambda: 1)
    monkeypatch.setenv("ATEN_CPU_CAPABILITY", "avx2")
    for setting in (ONE, TWO):
        machines.run(setting, tmp_path)
    (one, how), (two, native) = started
    assert "pretrain=1" in one and {"pretrain=2", "features=2", "evaluate=2", "finetune=2"} <= {*two}
    assert (one[one.index("--cores") + 1], two[two.index("--cores") + 1]) == ("1", "2")
    assert how["env"]["ATEN_CPU_CAPABILITY"] == "default" and "ATEN_CPU_CAPABILITY" not in native["env"]
    assert how["cwd"] == tmp_path and how["check"] and how["env"]["SIMMIM_DEVICE"] == "cpu"
