"""Going on after a break, with pretended commands of Slurm and a pretended Snakemake."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from simmim.__main__ import main
from simmim.cluster import queue, recovery


@pytest.fixture
def slurm(tmp_path, monkeypatch):
    """A queue with a job of this folder, until it was asked for twice or cancelled, and one of another."""
    (tmp_path / ".snakemake").mkdir()
    squeue = (
        f"echo x >> {tmp_path}/times; [ $(wc -l < {tmp_path}/times) -gt 2 -o -e {tmp_path}/cancelled ] && exit; "
        f'echo "9|RUNNING|1:00|rule_pack|/else|where"; echo "7|RUNNING|2:00|rule_pretrain_wildcards_default|{tmp_path}"'
    )
    for name, script in {"squeue": squeue, "scancel": f'echo "$@" > {tmp_path}/cancelled'}.items():
        (tmp_path / name).write_text(f"#!/bin/bash\n{script}\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(queue, "POLL_SECONDS", 0)
    return tmp_path


def remembered(folder, **change):
    """The command of a process that has ended; it writes what it was called with."""
    said = f"import sys; open({str(folder / 'said')!r}, 'a').write(' '.join(sys.argv[1:]) + chr(10))"
    found = {
        "command": [sys.executable, "-c", said, "--", "target"],
        "host": socket.gethostname(),
        "process": 2**22 + 1,
    }
    (folder / recovery._REMEMBERED).write_text(json.dumps(found | change))


@pytest.mark.parametrize("cancel", [True, False])
def test_jobs_end_then_the_folder_is_unlocked_then_the_command_runs_again(slurm, capsys, cancel):
    remembered(slurm)
    assert recovery.recover(slurm, cancel) == 0
    printed = capsys.readouterr().out
    assert "7  running" in printed and "rule_pretrain_wildcards_default" in printed and "rule_pack" not in printed
    assert (slurm / "cancelled").exists() == cancel
    assert (slurm / "said").read_text().splitlines() == ["--unlock -- target", "-- target"]


def test_a_folder_without_a_run_is_refused_and_a_command_is_remembered(slurm):
    with pytest.raises(ValueError, match="no Snakemake has submitted jobs from"):
        recovery.recover(slurm, cancel=False)
    remembered(slurm)
    assert recovery.last(slurm)["command"][-1] == "target"


# Leaves Snakemake's memory of itself, as `onstart` does, in the folder that it is told, and works on if it is told so.
SNAKEMAKE = """
import os, sys, time
from pathlib import Path
from simmim.cluster import recovery
where = sys.argv[sys.argv.index("--directory") + 1] if "--directory" in sys.argv else None
os.chdir(where or ".")
if "--unlock" not in sys.argv: recovery.remember(Path(), where)
print(Path(os.environ["START"]).is_file(), os.environ.get("SNAKEMAKE_PROFILE"), sys.argv[1:], flush=True)
time.sleep(60 if "--stay" in sys.argv else 0)
"""


def snakemake(folder, *arguments, **environment):
    """A process that was started otherwise than as `snakemake`, by a shell in a folder."""
    (folder / "follow.py").write_text(SNAKEMAKE)
    own = {"PYTHONPATH": f"{Path(__file__).parents[2]}:{folder}", "PWD": str(folder), "START": "follow.py"}
    command = [sys.executable, "-m", "follow", *arguments]
    return subprocess.Popen(command, cwd=folder, env=os.environ | own | environment, stdout=subprocess.PIPE, text=True)


def test_the_whole_command_runs_again_where_and_as_it_was_given(slurm, capfd, monkeypatch):
    (slurm / "sub" / ".snakemake").mkdir(parents=True)
    given = ["--config", "scale=a b", "--directory", "sub", "--", "it's"]
    process = snakemake(slurm, *given, START="../follow.py", SNAKEMAKE_PROFILE="mine")
    assert process.communicate(timeout=30)[0] == f"True mine {given}\n"
    monkeypatch.setenv("PYTHONPATH", f"{Path(__file__).parents[2]}:{slurm}")
    monkeypatch.setenv("START", "../follow.py")
    assert recovery.recover(slurm / "sub", cancel=False) == 0
    printed = capfd.readouterr().out
    assert "-m follow --config 'scale=a b' --directory sub -- 'it'\"'\"'s'" in printed
    assert printed.endswith(f"True mine {given}\n")


def test_a_snakemake_that_was_started_by_another_name_is_seen_to_run(slurm):
    process = snakemake(slurm, "--stay")
    process.stdout.readline()
    try:
        with pytest.raises(ValueError, match=f"Snakemake still runs here, as process {process.pid}"):
            recovery.last(slurm)
    finally:
        process.kill()
        process.communicate()
    assert recovery.last(slurm)["command"][1:] == ["-m", "follow", "--stay"]


def test_what_ran_on_another_host_is_left_alone_until_its_end_is_known(slurm, monkeypatch, capsys):
    """It may run there still: its jobs are its own, and a second one would train in the same folders."""
    remembered(slurm, host="login1")
    monkeypatch.chdir(slurm)
    assert main(["recover", "--cancel"]) == 2
    assert "Snakemake ran on login1, and whether it still does cannot be seen from" in capsys.readouterr().err
    assert not (slurm / "said").exists() and not (slurm / "cancelled").exists()
    with pytest.raises(SystemExit, match="0"):
        main(["recover", "--cancel", "--ended"])
    assert (slurm / "said").read_text().splitlines() == ["--unlock -- target", "-- target"]


def test_a_memory_that_is_cut_is_a_sentence(slurm):
    (slurm / recovery._REMEMBERED).write_text('{"comm')
    with pytest.raises(ValueError, match=r"simmim-command\.json .*; start Snakemake as before"):
        recovery.last(slurm)


def test_the_job_that_it_runs_in_is_not_waited_for(slurm, monkeypatch, capsys):
    """In an allocation, or in a batch script, from the same folder."""
    remembered(slurm)
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    assert recovery.recover(slurm, cancel=True) == 0
    assert "cancelled" not in capsys.readouterr().out and not (slurm / "cancelled").exists()


def test_an_outage_of_the_controller_is_waited_out_and_said_at_the_start(slurm, capsys):
    script = (slurm / "squeue").read_text()
    away = f'[ $(wc -l < {slurm}/times) -eq 2 ] && {{ echo "no controller" >&2; exit 1; }}; [ $(wc'
    (slurm / "squeue").write_text(script.replace("[ $(wc", away))
    remembered(slurm)
    assert recovery.recover(slurm, cancel=False) == 0
    assert "squeue cannot say what is in the queue: no controller; it is asked again" in capsys.readouterr().out
    (slurm / "squeue").write_text("#!/bin/bash\necho no controller >&2; exit 1\n")
    with pytest.raises(ValueError, match="squeue cannot say what is in the queue: no controller"):
        recovery.recover(slurm, cancel=False)


def test_without_slurm_that_is_said(slurm, monkeypatch):
    remembered(slurm)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ValueError, match="there is no squeue here: start on a node of the cluster"):
        recovery.recover(slurm, cancel=False)


def test_what_snakemake_says_against_unlocking_is_the_end(slurm):
    """An edited sheet, say; the command itself would say the same once more."""
    remembered(slurm, command=[sys.executable, "-c", "import sys; sys.exit(7 if '--unlock' in sys.argv else 0)", "--"])
    assert recovery.recover(slurm, cancel=True) == 7


def test_jobs_that_slurm_does_not_end_are_a_sentence(slurm):
    (slurm / "scancel").write_text("#!/bin/bash\necho 'scancel: error: no controller' >&2; exit 1\n")
    remembered(slurm)
    with pytest.raises(ValueError, match="scancel did not end every job: scancel: error: no controller; give the"):
        recovery.recover(slurm, cancel=True)
    assert not (slurm / "said").exists()


def test_a_snakemake_that_still_runs_is_left_alone(slurm, monkeypatch):
    remembered(slurm)
    monkeypatch.setattr(recovery, "_still_runs", lambda found: True)
    with pytest.raises(ValueError, match="Snakemake still runs here, as process"):
        recovery.recover(slurm, cancel=True)
    assert not (slurm / "cancelled").exists()
