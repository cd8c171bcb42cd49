"""The command line: what a user sees for a mistake, and what a second call does."""

import errno
import os
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path

import pytest
import torch

from simmim.__main__ import main
from simmim.config.sheets import Sheets
from simmim.jobs import Jobs
from simmim.storage.finished import keep
from simmim.storage.identity import Identity
from simmim.storage.lease import lease
from simmim.train.guard import NonFiniteLoss
from simmim.train.processes import Processes

ROOT = Path(__file__).parents[1]
CONFIG = ["--config", str(ROOT / "config")]


def test_a_mistake_is_one_line_and_exit_code_2(capsys, tmp_path):
    code = main(
        ["pretrain", "--scale", "smoke", "--run", "defualt", "--seed", "0", "--results", str(tmp_path), *CONFIG]
    )
    error = capsys.readouterr().err
    assert code == 2
    assert error.startswith("simmim: error: unknown run 'defualt'; did you mean 'default'")
    assert error.count("\n") == 1


SMOKE = ["--scale", "smoke"]
MISTAKES = [
    (["pretrain", "--scale", "smok", "--run", "default", "--seed", "0"], "unknown scale 'smok'; did you mean 'smoke'"),
    (["pretrain", *SMOKE, "--run", "mask_r40_", "--seed", "0"], "unknown run 'mask_r40_'"),
    (["evaluate", *SMOKE, "--run", "default", "--evaluation", "finetun"], "'default/finetun'; did you mean"),
    (["evaluate", *SMOKE, "--run", "defaul", "--evaluation", "knn"], "'defaul/knn'; did you mean 'default/knn'"),
    (
        ["features", *SMOKE, "--run", "default", "--seed", "0", "--name", "1px_0"],
        "unknown features of run 'default'",
    ),
    (["tokenizer", *SMOKE, "--tokenizer", "colours"], "unknown tokenizer 'colours'; did you mean 'colours_512'"),
    (["pack", *SMOKE, "--dataset", "earth_tile", "--split", "train"], "'earth_tile'; did you mean 'earth_tiles'"),
    (["pack", *SMOKE, "--dataset", "earth_tiles", "--split", "test"], "has no split 'test' of 'earth_tiles'"),
    (
        ["pack", *SMOKE, "--dataset", "imagenet_22k_ext", "--split", "val"],
        "imagenet_22k_ext: 70 million images that the authors collected",
    ),
    (
        ["pack", *SMOKE, "--dataset", "earth_tiles", "--split", "train", "--processes", "-1"],
        "--processes is -1: 1 or more are needed, or 0 for as many as there are CPUs",
    ),
    *(
        (
            ["pretrain", *SMOKE, "--run", "default", "--seed", "0", "--max-runtime", minutes],
            f"--max-runtime is {minutes}: minutes above 0 are needed, or 0 for no limit",
        )
        for minutes in ("-5", "nan")
    ),
    (
        ["clean", *SMOKE, "--outputs", "results/smoke/tabels/table1.md"],
        "there is no results/smoke/tabels/table1.md, and no job",
    ),
    (["verify", *SMOKE], "no data set of scale 'smoke' is packed below"),
    (["demo-data", "--scale", "paper"], "scale 'paper' makes no demo data"),
    (["table", *SMOKE, "--name", "tabel1"], "unknown table 'tabel1'; did you mean 'table1'"),
    (["figure", *SMOKE, "--name", "figure33"], "unknown figure 'figure33'; did you mean 'figure3'"),
    (["plan", "tabel1", *SMOKE], "'tabel1'; did you mean 'table1'"),
    (["plan", "table1", *SMOKE, "--gpu", "H10"], "'H10'; did you mean 'H100'"),
    (["size", *SMOKE, "--run", "swin_b_80ep"], "unknown run 'swin_b_80ep'; did you mean 'swin_b_800ep'"),
    (["pretrain", *SMOKE, "--run", "default", "--seed", "-1"], "seed -1 must be a whole number, 0 or above"),
    *(
        ([verb, "--scale", "smok"], "unknown scale 'smok'; did you mean 'smoke'")
        for verb in ("outdated", "clean", "migrate")
    ),
]


@pytest.mark.parametrize(("arguments", "message"), MISTAKES)
def test_a_mistake_on_the_command_line_is_one_line_with_the_nearest_choice(capsys, tmp_path, arguments, message):
    assert main([*arguments, "--results", str(tmp_path), *CONFIG]) == 2
    error = capsys.readouterr().err
    assert error.startswith("simmim: error: ") and message in error and error.count("\n") == 1, error
    assert not list(tmp_path.iterdir())


def test_clean_says_what_it_removes_and_that_there_is_nothing(capsys, tmp_path):
    state = tmp_path / "smoke" / "tokenizers" / "colours_512.state"
    output = state.with_suffix(".safetensors")
    state.mkdir(parents=True)
    (state / output.name).touch()
    keep(state, [state / output.name], Identity(config={}, seed=0))
    words = ["clean", *SMOKE, "--results", str(tmp_path), *CONFIG]
    misspelt = output.with_name("colours.safetensors")
    assert main([*words, "--outputs", str(output), str(misspelt)]) == 2 and state.exists()
    assert "unknown tokenizer 'colours'; did you mean 'colours_512'" in capsys.readouterr().err
    for printed in (f"removed {state}\n", "nothing to remove: no finished job has left anything of these\n"):
        assert main([*words, "--outputs", str(output)]) == 0 and capsys.readouterr().out == printed
    assert main(words) == 0 and capsys.readouterr().out == "nothing to remove: no finished job has left anything\n"


def test_a_folder_without_sheets_is_named(capsys, tmp_path):
    assert main(["check", *SMOKE, "--config", str(tmp_path / "nowhere")]) == 2
    assert "there is no folder" in capsys.readouterr().err


def test_weights_that_are_none_are_one_line(capsys, tmp_path):
    for name, content in (("a.pth", b""), ("b.pth", b"no weights"), ("c.safetensors", b"\x00" * 64)):
        (tmp_path / name).write_bytes(content)
        assert main(["convert", "--from", str(tmp_path / name), "--to", str(tmp_path / "out.safetensors")]) == 2
        error = capsys.readouterr().err
        assert name in error and error.count("\n") == 1, error
    assert main(["convert", "--from", str(tmp_path / "absent.pth"), "--to", str(tmp_path / "out.safetensors")]) == 2
    assert "absent.pth" in capsys.readouterr().err


def test_missing_data_says_what_is_missing(capsys, tmp_path):
    code = main(
        ["pretrain", "--scale", "smoke", "--run", "default", "--seed", "0", "--results", str(tmp_path), *CONFIG]
    )
    assert code == 2
    assert "earth_tiles" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "what", "first", "target"),
    [
        (
            ["table", "--name", "table4"],
            "table table4: 2 of its 2",
            "evaluate/default/finetune.parquet",
            "table4.parquet",
        ),
        (["figure", "--name", "figure4"], "figure figure4: 1 of its 1", "reconstruction.parquet", "figure4.png"),
        (["page"], "page: ", "tables/", "report.html"),
        (["reconstruct", "--run", "default", "--seed", "0"], "reconstruct default 0: ", "index.json", "n.parquet"),
    ],
)
def test_missing_inputs_are_one_sentence_that_says_what_makes_them(capsys, tmp_path, arguments, what, first, target):
    assert main([arguments[0], *SMOKE, *arguments[1:], "--results", str(tmp_path), *CONFIG]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"simmim: error: {what}") and error.count("\n") == 1
    assert first in error.partition("the first is")[2].partition(";")[0]
    assert f"{target}` makes them" in error.partition("`snakemake ")[2]


def test_a_job_planned_with_another_config_is_refused(capsys, tmp_path):
    options = ["--scale", "smoke", "--run", "default", "--evaluation", "knn", "--results", str(tmp_path), *CONFIG]
    assert main(["evaluate", *options, "--expect", "0123456789ab"]) == 2
    assert "this job was planned with 0123456789ab" in capsys.readouterr().err


@pytest.mark.parametrize(("words", "processes"), [([], 3), (["--processes", "1"], 1)])
def test_packing_takes_the_cpus_of_its_job_unless_told_otherwise(monkeypatch, tmp_path, words, processes):
    given = []
    monkeypatch.setattr("simmim.data.packing.pack", lambda *_, **settings: given.append(settings["processes"]))
    monkeypatch.setattr("simmim.machine.cpus", lambda: 3)
    options = ["--dataset", "earth_tiles", "--split", "train", "--results", str(tmp_path), *words, *CONFIG]
    assert main(["pack", *SMOKE, *options]) == 0 and given == [processes]


@pytest.mark.parametrize(
    "module",
    [
        "simmim.__main__",
        "simmim.report.write",
        "simmim.data.packing",
        "simmim.planning.graph",
        "simmim.planning.packed",
        "simmim.migration",
    ],
)
def test_what_light_verbs_import_is_free_of_torch(module):
    check = f"import sys, {module}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", check], timeout=60).returncode == 0


def test_what_snakemake_parses_imports_the_standard_library_yaml_and_pydantic_only():
    """In every job of a cluster, Snakemake parses the workflow again."""
    check = (
        "import sys; before = {*sys.modules}\n"
        "from simmim.jobs import Jobs\nfrom simmim.config.sheets import Sheets\n"
        f"Jobs(Sheets({str(ROOT / 'config')!r})).job('page', scale='smoke')\n"
        "found = {name.partition('.')[0] for name in {*sys.modules} - before} - {*sys.stdlib_module_names}\n"
        "print(*sorted(found))"
    )
    done = subprocess.run([sys.executable, "-c", check], timeout=60, capture_output=True, text=True)
    needed = {"annotated_types", "typing_extensions", "typing_inspection", "pydantic", "pydantic_core", "yaml"}
    found = {name for name in done.stdout.split() if not name.startswith("_")} - {"cython_runtime"}  # yaml's own
    assert {"simmim"} <= found <= needed | {"simmim"}, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/a/b"), "/a/b: No space left on device; make room"),
        (PermissionError(errno.EACCES, os.strerror(errno.EACCES), "/a/b"), "/a/b: Permission denied; check its"),
        (FileNotFoundError("size: 1 of its 2 inputs are not there yet"), "size: 1 of its 2 inputs are not there yet"),
    ],
)
def test_what_the_system_refuses_is_one_line(capsys, monkeypatch, error, sentence):
    def refuse(*arguments):
        raise error

    monkeypatch.setattr("simmim.cli._sheets.Sheets", refuse)
    assert main(["size", *SMOKE, "--run", "default", *CONFIG]) == 2
    printed = capsys.readouterr().err
    assert printed.startswith(f"simmim: error: {sentence}") and printed.count("\n") == 1


@pytest.mark.parametrize(("stdout", "code", "error"), [("/dev/full", 2, "No space left on device"), (None, 141, "")])
def test_a_full_disk_and_a_closed_pipe_behind_stdout(tmp_path, stdout, code, error):
    """The reader of a pipe that has seen enough is no error; a full disk is one."""
    command = [sys.executable, "-m", "simmim", "migrate", *SMOKE, *CONFIG, "--results", str(tmp_path)]
    end, begin = os.pipe()
    os.close(end)
    buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    with open(stdout or begin, "wb") as out:
        done = subprocess.run(
            command, stdout=out, stderr=subprocess.PIPE, text=True, timeout=100, cwd=ROOT, env=buffered
        )
    assert (done.returncode, done.stderr.count("\n")) == (code, 1 if error else 0) and error in done.stderr


def test_numbers_that_are_not_finite_leave_with_exit_code_4(monkeypatch, capsys):
    def stop(*_):
        raise NonFiniteLoss("the loss or gradient of step 7 is not finite")

    monkeypatch.setattr("simmim.planning.check.check_scale", stop)
    assert main(["check", *SMOKE, *CONFIG]) == 4
    assert capsys.readouterr().err == "simmim: stopped: the loss or gradient of step 7 is not finite\n"


KNN = Sheets(ROOT / "config").read_features("smoke", "default", "knn").name


@pytest.mark.parametrize(
    "arguments",
    [
        ["tokenizer", "--tokenizer", "colours_512"],
        ["pretrain", "--run", "default", "--seed", "0"],
        ["features", "--run", "default", "--seed", "0", "--name", KNN],
        ["evaluate", "--run", "default", "--evaluation", "knn"],
    ],
    ids=lambda words: words[0],
)
def test_the_main_process_says_for_all_whether_a_job_is_done(monkeypatch, tmp_path, arguments):
    """On another node the files may not be seen yet: of two processes one would train, and wait for the other."""
    second = Processes(1, 2, torch.device("cpu"))
    monkeypatch.setattr("simmim.train.processes.joined_processes", lambda: nullcontext(second))
    monkeypatch.setattr("simmim.train.processes.told_by_main", lambda look, processes: True)
    assert main([*arguments, *SMOKE, "--results", str(tmp_path), *CONFIG]) == 0
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("verb", "folder", "made_by"),
    [
        (["pack", "--dataset", "earth_tiles", "--split", "train"], "index", "simmim.data.packing.pack"),
        (["demo-data"], "card", "simmim.demo_data.build"),
    ],
)
def test_a_second_maker_of_one_set_leaves_with_75_and_names_the_first(
    verb, folder, made_by, monkeypatch, tmp_path, capsys
):
    made = []
    monkeypatch.setattr(made_by, lambda *_, **__: made.append(1))
    monkeypatch.setattr(lease.__wrapped__, "__defaults__", (0.2,))  # its patience
    names = dict(zip([each.strip("-") for each in verb[1::2]], verb[2::2]))
    jobs = Jobs(Sheets(ROOT / "config"), str(tmp_path))
    out = jobs.job(verb[0].replace("-", "_"), scale="smoke", **names).output(folder).parent
    command = [verb[0], *SMOKE, *verb[1:], "--results", str(tmp_path), *CONFIG]
    with lease(out):
        assert main(command) == 75 and not made
    assert f"in use by process {os.getpid()} on " in capsys.readouterr().err
    assert main(command) == 0 and made
