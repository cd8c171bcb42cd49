"""Going on after a break, with pretended commands of Slurm and a pretended Snakemake."""

import json
import os
import socket
import sys

import pytest

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
    recovery.remember(slurm, ["--profile", "slurm"])
    assert recovery.last(slurm) == [sys.executable, "-m", "snakemake", "--profile", "slurm"]  # pytest is no Snakemake


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
