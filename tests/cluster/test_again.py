"""A job of the workflow that was stopped goes back into Slurm's queue; nothing else does."""

import pytest

from simmim.cluster import again

JOB = {"SLURM_JOB_ID": "42", again.MINUTES: "60"}


@pytest.fixture
def scontrol(tmp_path, monkeypatch):
    """A scontrol that notes what it is asked and answers as told."""

    def answers(code):
        program = tmp_path / "scontrol"
        program.write_text(f"#!/bin/sh\necho $* >> {tmp_path}/asked\nexit {code}\n")
        program.chmod(0o755)
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
    assert capsys.readouterr().out == "Slurm runs job 42 again\n"


def test_where_slurm_refuses_the_job_ends_at_once(scontrol):
    slept = scontrol(1)
    again.put_back(JOB)
    assert scontrol.asked() == "requeue 42\n" and slept == []


@pytest.mark.parametrize("other", [{}, {"SLURM_JOB_ID": "42"}, {again.MINUTES: "60"}, JOB | {"RANK": "1"}])
def test_jobs_that_are_not_the_workflow_s_and_other_processes_ask_for_nothing(scontrol, other):
    scontrol(0)
    again.put_back(other)
    assert scontrol.asked() == ""
