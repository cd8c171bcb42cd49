"""No answer of the controller is no news of the jobs: with a class that does what the plugin's executor does."""

import asyncio
from types import SimpleNamespace

import pytest
import snakemake_executor_plugin_slurm as plugin

from simmim.cluster import patience

JOBS = [SimpleNamespace(external_jobid=number, jobid=number) for number in ("1", "2")]


class Executor:
    def __init__(self, answer):
        self.answer, self.did, self.logger = answer, [], SimpleNamespace(warning=self.note, error=self.note)

    def note(self, text):
        self.did.append(text)

    async def check_active_jobs(self, active_jobs):
        if self.answer is not None:
            self._status_query_calls += 1
            for job in active_jobs:
                if job.external_jobid in self.answer:
                    yield job

    def run_job(self, job):
        self.did.append(f"submitted {job.jobid}")

    def cancel_jobs(self, active_jobs):
        self.did.append([job.external_jobid for job in active_jobs])
        if self.answer is None:
            raise RuntimeError("scancel failed")


@pytest.fixture
def executor():
    class Patient(Executor):
        pass

    patience.teach(Patient)
    return Patient


def still_active(executor):
    async def listed():
        return [job.external_jobid async for job in executor.check_active_jobs(JOBS)]

    return asyncio.run(listed())


@pytest.mark.parametrize(("answer", "left"), [(None, ["1", "2"]), (["2"], ["2"]), ([], [])])
def test_jobs_are_forgotten_only_after_an_answer(executor, answer, left):
    assert still_active(executor(answer)) == left


def test_a_submission_waits_for_the_controller(executor, monkeypatch):
    answers = iter([False, False, True])
    monkeypatch.setattr(patience, "controller_answers", lambda: next(answers))
    monkeypatch.setattr(patience, "POLL_SECONDS", 0)
    patient = executor([])
    patient.run_job(JOBS[0])
    assert len(patient.did) == 3 and patient.did[-1] == "submitted 1" and "does not answer" in patient.did[0]


def test_an_interrupt_ends_jobs_that_are_being_asked_about_and_is_never_stopped_by_an_error(executor, monkeypatch):
    monkeypatch.setattr(patience, "controller_answers", lambda: False)
    patient = executor(None)
    patient.in_question = JOBS
    patient.cancel_jobs([JOBS[1]])
    assert patient.did[0] == ["1", "2"] and "simmim recover" in patient.did[1]
    patient.run_job(JOBS[0])  # what waits to be submitted waits no more
    assert patient.did[-1] == "submitted 1"


def test_it_is_taught_once(executor):
    before = executor.run_job
    patience.teach(executor)
    assert executor.run_job is before


def test_the_plugin_has_what_is_changed():
    assert all(callable(getattr(plugin.Executor, name)) for name in ("check_active_jobs", "run_job", "cancel_jobs"))
    assert "_status_query_calls" in plugin.Executor.__post_init__.__code__.co_names
