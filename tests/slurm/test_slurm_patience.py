"""A Slurm controller that is away for a while costs no job and hangs no Snakemake."""

import signal
import time

import pytest
from projects import ended, sleepers, start, submitted


@pytest.mark.timeout(400)
def test_a_controller_that_does_not_answer_for_a_while_costs_no_job(slurm, tmp_path):
    """Silent for more than one query, while the first job ends: the second is submitted when it answers again.

    Slurm's own retries take their time, on a busy machine minutes.
    """
    snakemake = start(sleepers(tmp_path, 3), slurm.environment)
    submitted(snakemake, tmp_path)
    time.sleep(4)  # the job's own srun asks the controller too
    slurm.signal_controller(signal.SIGSTOP)
    time.sleep(12)
    slurm.signal_controller(signal.SIGCONT)
    assert ended(snakemake, 300) == 0, (tmp_path / "out.log").read_text()[-3000:]
    assert (tmp_path / "second").exists()


@pytest.mark.slow
@pytest.mark.punish
@pytest.mark.timeout(900)
@pytest.mark.parametrize("how", ["silent", "killed"])
def test_a_controller_that_is_away_for_three_minutes_costs_no_job(slurm, tmp_path, how):
    snakemake = start(sleepers(tmp_path, 10), slurm.environment)
    submitted(snakemake, tmp_path)
    time.sleep(6)
    slurm.signal_controller(signal.SIGSTOP) if how == "silent" else slurm.kill_controller()
    time.sleep(180)
    slurm.signal_controller(signal.SIGCONT) if how == "silent" else slurm.start_controller()
    assert ended(snakemake, 480) == 0, (tmp_path / "out.log").read_text()[-3000:]
    assert (tmp_path / "second").exists()


@pytest.mark.slow
@pytest.mark.punish
@pytest.mark.timeout(300)
def test_snakemake_can_be_ended_while_the_controller_is_away(slurm, tmp_path):
    snakemake = start(sleepers(tmp_path, 300), slurm.environment)
    submitted(snakemake, tmp_path)
    time.sleep(6)
    slurm.signal_controller(signal.SIGSTOP)
    time.sleep(15)
    snakemake.send_signal(signal.SIGTERM)  # no more jobs; those that run are waited for
    time.sleep(5)
    snakemake.send_signal(signal.SIGINT)
    code = ended(snakemake, 150)
    slurm.signal_controller(signal.SIGCONT)
    assert code == 1, (tmp_path / "out.log").read_text()[-3000:]


@pytest.mark.slow
@pytest.mark.punish
@pytest.mark.timeout(200)
def test_term_ends_snakemake_when_its_jobs_have_ended(slurm, tmp_path):
    snakemake = start(sleepers(tmp_path, 20), slurm.environment)
    submitted(snakemake, tmp_path)
    snakemake.send_signal(signal.SIGTERM)
    assert ended(snakemake, 120) == 1
    assert (tmp_path / "first").exists() and not (tmp_path / "second").exists()
