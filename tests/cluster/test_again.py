"""What dies is started again in its job, and what was stopped goes back into Slurm's queue; nothing else does."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from simmim import said
from simmim.cluster import again
from simmim.cluster.attempt import Attempt

JOB = {"SLURM_JOB_ID": "42", again.MINUTES: "60"}
ROOT = Path(__file__).parents[2]
# Counts its attempts in a file, then does what the test says: `n` is the number of this one.
WORK = """
import os, signal, sys, time
from pathlib import Path
from simmim import said
if said.waits(): Path("spare").write_text(str(os.getpid())); said.wait_for_turn(); Path("turn").touch()
n = len(Path("attempts").read_text()) if Path("attempts").exists() else 0
Path("attempts").write_text("x" * (n + 1))
def die(number): os.kill(os.getpid(), number)
with said.alive():
"""


def started(folder, body, *words, **environment):
    script = WORK + "\n".join(f"    {line}" for line in body.split("; "))
    own = {"PYTHONPATH": str(ROOT)} | environment
    words = [sys.executable, "-m", "simmim.cluster.again", sys.executable, "-c", script, *words]
    return subprocess.Popen(words, cwd=folder, env=os.environ | own, stdout=subprocess.PIPE, text=True)


def run(folder, body, *words, **environment):
    """Exit code, what was printed, and the number of attempts."""
    process = started(folder, body, *words, **environment)
    out, _ = process.communicate(timeout=30)
    return process.returncode, out, len((folder / "attempts").read_text())


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT])
def test_what_dies_of_a_signal_is_started_again_at_once(tmp_path, number):
    code, out, attempts = run(tmp_path, f"n or die({int(number)})")
    assert (code, attempts) == (0, 2)
    assert out == f"simmim: died of {number.name}; started again, for the 1st time, from what is saved\n"


def test_what_is_stuck_is_started_again(tmp_path):
    code, out, attempts = run(tmp_path, "n or sys.exit(75)")
    assert (code, attempts) == (0, 2) and "was stuck; started again" in out


def test_what_gives_no_sign_of_life_is_killed_and_started_again(tmp_path):
    """A process that does not run cannot say it itself."""
    code, out, attempts = run(tmp_path, "n or die(signal.SIGSTOP)", SIMMIM_STUCK_MINUTES="0.02")
    assert (code, attempts) == (0, 2) and "no sign of life for 0.02 minutes\nsimmim: died of SIGKILL" in out


@pytest.mark.parametrize("value", ["", "ten", "0", "-5", "nan", "inf"])
def test_what_is_no_time_until_work_is_stuck_starts_nothing(tmp_path, value):
    out = f"simmim: error: SIMMIM_STUCK_MINUTES={value} must be a number of minutes above 0, such as 20\n"
    process = started(tmp_path, "pass", SIMMIM_STUCK_MINUTES=value)
    assert (process.communicate(timeout=30)[0], process.returncode) == (out, 2) and not (tmp_path / "attempts").exists()


def test_what_works_for_longer_than_that_and_lives_is_left_alone(tmp_path):
    assert run(tmp_path, "time.sleep(2.5)", SIMMIM_STUCK_MINUTES="0.02") == (0, "", 1)


def test_three_times_in_a_row_where_nothing_new_is_saved(tmp_path):
    code, out, attempts = run(tmp_path, "said.saved('step-1'); die(9)")
    assert (code, attempts) == (137, 5)  # the first has saved something
    assert "died of SIGKILL; it has saved nothing new in 4 attempts, so the job ends" in out


def test_what_is_stuck_each_time_ends_the_job_with_a_code_that_does_not_put_it_back(tmp_path):
    """Slurm's queue counts no tries: Snakemake's retries have an end."""
    code, out, attempts = run(tmp_path, "sys.exit(75)")
    assert (code, attempts) == (1, 4)
    assert "was stuck; it has saved nothing new in 4 attempts, so the job ends" in out


def test_as_often_as_something_new_is_saved(tmp_path):
    code, out, attempts = run(tmp_path, "said.saved(f'step-{n}'); n < 9 and die(9)")
    assert (code, attempts) == (0, 10) and "for the 9th time" in out


WAIT = "while not Path('spare').exists(): time.sleep(0.01)"


def test_the_next_attempt_waits_with_all_its_imports_once_something_is_saved(tmp_path):
    code, out, attempts = run(tmp_path, f"said.saved('step-1'); {WAIT}; n or die(9)", SIMMIM_STUCK_MINUTES="0.1")
    assert (code, attempts) == (0, 2) and (tmp_path / "turn").exists() and out.count("started again") == 1


@pytest.mark.parametrize(("nodes", "waits"), [("--nodes=2", False), ("--nodes=16", False), ("--nodes=1", True)])
def test_no_next_attempt_waits_beside_a_step_over_several_nodes(tmp_path, nodes, waits):
    """As the workflow starts it in a job of Slurm's, whose environment does not say how many nodes that has."""
    body = "said.saved('step-1'); time.sleep(1)"
    assert run(tmp_path, body, nodes, SLURM_JOB_ID="42", SIMMIM_STUCK_MINUTES="0.02")[0] == 0
    assert (tmp_path / "spare").exists() == waits


def test_work_goes_on_where_the_next_attempt_cannot_be_started_and_it_is_tried_after_the_next_save(tmp_path):
    no_room = "n and sys.exit(); os.symlink('/proc', '.snakemake'); said.saved('step-1'); time.sleep(1)"
    body = f"{no_room}; os.unlink('.snakemake'); said.saved('step-2'); {WAIT}; die(9)"
    code, out, attempts = run(tmp_path, body, SIMMIM_STUCK_MINUTES="0.02")
    assert (code, attempts) == (0, 2) and (tmp_path / "turn").exists()
    assert out.count("no next attempt waits beside this one ([Errno 2] No such file or directory: '/proc/") == 1


def test_an_attempt_that_cannot_be_started_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with pytest.raises(FileNotFoundError):
        Attempt([str(tmp_path / "no_command")], {})
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize("end", ["n or die(9)", "sys.exit(said.ended(2))"])
def test_no_spare_outlives_its_supervisor_and_a_dead_one_is_not_relied_upon(tmp_path, end):
    dead = "os.kill(int(Path('spare').read_text()), 9)" if "die" in end else "0"
    run(tmp_path, f"said.saved('step-1'); {WAIT}; time.sleep(0.1); {dead}; {end}", SIMMIM_STUCK_MINUTES="0.1")
    assert not (tmp_path / "turn").exists()
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "spare").read_text()), 0)


@pytest.mark.parametrize("code", [2, 4, 75])
def test_an_end_on_purpose_is_the_end_whatever_a_launcher_makes_of_it(tmp_path, code):
    assert run(tmp_path, f"said.ended({code}); sys.exit(1)") == (code, "", 1)


def test_a_mistake_of_one_rank_outweighs_the_stop_of_the_others(tmp_path):
    assert run(tmp_path, "said.ended(75); said.ended(2); sys.exit(1)") == (2, "", 1)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1])
def test_what_is_asked_to_stop_is_not_started_again(tmp_path, number):
    """Not even where it dies of it, because it had only begun."""
    process = started(tmp_path, "time.sleep(20)")
    while not (tmp_path / "attempts").exists():
        time.sleep(0.02)
    process.send_signal(number)
    assert process.wait(20) == 75 and (tmp_path / "attempts").read_text() == "x"


def test_what_an_attempt_leaves_behind_is_ended_before_the_next(tmp_path):
    fork = "n == 0 and os.fork() == 0 and (Path('orphan').write_text(str(os.getpid())), time.sleep(60))"
    until = "while n == 0 and not Path('orphan').exists(): time.sleep(0.01)"
    code, _, attempts = run(tmp_path, f"{fork}; {until}; n or die(9)")
    assert (code, attempts) == (0, 2)
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "orphan").read_text()), 0)


def test_a_command_is_asked_to_stop_when_its_supervisor_is_killed(tmp_path):
    leave = "lambda *_: (Path('asked').write_text(''), os._exit(0))"
    body = f"signal.signal(15, {leave}); Path('up').touch(); time.sleep(9)"
    process = started(tmp_path, body)
    while not (tmp_path / "up").exists():
        time.sleep(0.02)
    process.kill()
    process.wait()
    end = time.monotonic() + 5
    while not (tmp_path / "asked").exists():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_the_next_attempt_has_the_rest_of_the_time_granted(tmp_path):
    body = f"Path(f'left{{n}}').write_text(os.environ['{again.MINUTES}']); time.sleep(0.3); n or die(9)"
    assert run(tmp_path, body, **{again.MINUTES: "1"})[0] == 0
    first, second = (float((tmp_path / f"left{n}").read_text()) for n in (0, 1))
    assert 0.9 < second < first - 0.3 / 60 < 1


def test_what_is_written_whole_counts_as_saved_and_nothing_is_told_to_nobody(tmp_path, monkeypatch):
    from simmim.storage import files

    files.write_text(tmp_path / "alone", "")
    file = tmp_path / "said"
    file.touch()
    monkeypatch.setenv(said.FILE, str(file))
    files.write_text(tmp_path / "a", "")
    with files.whole_folder(tmp_path / "b"):
        pass
    assert said.ended(2) == 2
    assert said.heard(file) == ({str(tmp_path / "a"), str(tmp_path / "b")}, {2})
    file.unlink()
    assert said.ended(0) == 0 and not file.exists()


@pytest.fixture
def scontrol(tmp_path, monkeypatch):
    """A scontrol that notes what it is asked and answers as told, and a squeue that says how the job is."""

    def answers(code, state="RUNNING"):
        programs = {"scontrol": f"echo $* >> {tmp_path}/asked\nexit {code}\n", "squeue": f"echo {state}\n"}
        for name, script in programs.items():
            (tmp_path / name).write_text(f"#!/bin/sh\n{script}")
            (tmp_path / name).chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
        slept = []
        monkeypatch.setattr(again.time, "sleep", slept.append)
        return slept

    answers.asked = lambda: (tmp_path / "asked").read_text() if (tmp_path / "asked").exists() else ""
    return answers


def test_slurm_is_asked_to_run_it_again_and_ends_it(scontrol, capsys):
    slept = scontrol(0)
    again.put_back(JOB)
    assert scontrol.asked() == "requeue 42\n" and slept == [60.0]
    assert capsys.readouterr().out == "simmim: Slurm runs job 42 again\n"


@pytest.mark.parametrize("state", ["COMPLETING", "CANCELLED", "PENDING", ""])
def test_a_job_that_was_cancelled_or_is_back_already_is_left_alone(scontrol, state):
    """Slurm would run a cancelled job again where it is asked to."""
    scontrol(0, state)
    again.put_back(JOB)
    assert scontrol.asked() == ""


def test_where_slurm_refuses_the_job_ends_at_once(scontrol):
    slept = scontrol(1)
    again.put_back(JOB)
    assert scontrol.asked() == "requeue 42\n" and slept == []


@pytest.mark.parametrize("other", [{}, {"SLURM_JOB_ID": "42"}, {again.MINUTES: "60"}])
def test_jobs_that_are_not_the_workflow_s_ask_for_nothing(scontrol, other):
    scontrol(0)
    again.put_back(other)
    assert scontrol.asked() == ""


@pytest.mark.parametrize(("code", "asked"), [(75, "requeue 42\n"), (2, ""), (0, "")])
def test_only_what_was_stopped_goes_back_into_the_queue(scontrol, monkeypatch, code, asked):
    scontrol(0)
    monkeypatch.setattr(again.Supervisor, "run", lambda self: code)
    monkeypatch.setattr(again.os, "environ", os.environ | JOB)
    assert again.main(["true"]) == code and scontrol.asked() == asked
