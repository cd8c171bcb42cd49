"""Jobs of one machine share its cards: each has its own, waits for one where there is none, and lets it go."""

import subprocess
import sys
import time

import pytest
from helpers.gpus import pretend_cards

from simmim.cluster.again import MINUTES
from simmim.train import cards

SHOW = 'echo "$SIMMIM_DEVICE $CUDA_VISIBLE_DEVICES"'


def start(environment, number, command, **changes):
    words = [sys.executable, "-m", "simmim.train.cards", str(number), "sh", "-c", command]
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(words, env=environment | changes, **streams)


def printed(environment, number, command=SHOW, **changes):
    out, error = start(environment, number, command, **changes).communicate(timeout=60)
    return (out + error).strip()


@pytest.fixture
def two(tmp_path):
    return pretend_cards(tmp_path, "GPU-a", "GPU-b")


def test_no_card_is_two_jobs_at_a_time(two, tmp_path):
    log = tmp_path / "log"
    hold = f'echo "+ $CUDA_VISIBLE_DEVICES" >> {log}; sleep 0.3; echo "- $CUDA_VISIBLE_DEVICES" >> {log}'
    jobs = [start(two, number, hold) for number in (1, 1, 2, 1, 1)]
    assert [job.wait(60) for job in jobs] == [0] * 5
    held: set[str] = set()
    for line in log.read_text().splitlines():
        cards = set(line[2:].split(","))
        assert cards <= held if line[0] == "-" else not cards & held, log.read_text()
        held = held - cards if line[0] == "-" else held | cards
    assert "+ GPU-a,GPU-b" in log.read_text()


def test_small_jobs_share_cards_and_take_the_emptier_one(two):
    shared = two | {"SIMMIM_JOBS_PER_CARD": "2"}
    jobs = [start(shared, 1, 'echo "$CUDA_VISIBLE_DEVICES"; exec sleep 60') for _ in range(2)]
    assert {job.stdout.readline().strip() for job in jobs} == {"GPU-a", "GPU-b"}
    both = start(shared, 2, 'echo "$CUDA_VISIBLE_DEVICES"; exec sleep 60')
    assert both.stdout.readline().strip() == "GPU-a,GPU-b"
    waiting = start(shared, 1, SHOW)
    time.sleep(0.3)
    assert waiting.poll() is None, "two jobs are on each card"
    jobs[0].kill()
    assert waiting.communicate(timeout=60)[0].split()[0] == "cuda"
    for job in (jobs[1], both):
        job.kill()


@pytest.mark.parametrize("value", ["0", "many", ""])
def test_what_is_no_number_of_jobs_is_refused(value, two):
    expected = f"simmim: error: SIMMIM_JOBS_PER_CARD={value} must be a number of jobs, 1 or more"
    assert printed(two, 1, SIMMIM_JOBS_PER_CARD=value) == expected


def test_a_killed_job_lets_its_cards_go(two):
    job = start(two, 2, "echo ready; exec sleep 60")
    job.stdout.readline()
    waiting = start(two, 1, SHOW)
    time.sleep(0.3)
    assert waiting.poll() is None
    job.kill()
    assert waiting.communicate(timeout=60)[0].split() == ["cuda", "GPU-a"]


def test_cards_that_are_hidden_are_nobodys(two):
    assert printed(two, 1, CUDA_VISIBLE_DEVICES="1") == "cuda GPU-b"
    assert printed(two, 2, CUDA_VISIBLE_DEVICES="GPU-b") == (
        "simmim: error: this job is to have 2 GPUs and sees 1; lower its resource `gpu`"
    )


def test_where_there_is_no_card_to_lease_the_promise_is_passed_on(two, tmp_path):
    job = {"SLURM_JOB_ID": "7", MINUTES: "60"}
    assert printed(two, 2, **job, CUDA_VISIBLE_DEVICES="0,1") == "cuda 0,1"
    assert printed(two, 2, SIMMIM_DEVICE="cpu") == "cpu"
    assert printed(pretend_cards(tmp_path), 2) == "cuda"


def test_jobs_in_an_allocation_share_its_cards(two):
    """`salloc`, and Snakemake with the local profile in it."""
    allocation = {"SLURM_JOB_ID": "7", "CUDA_VISIBLE_DEVICES": "0,1"}
    jobs = [start(two, 1, 'echo "$CUDA_VISIBLE_DEVICES"; exec sleep 60', **allocation) for _ in range(2)]
    assert {job.stdout.readline().strip() for job in jobs} == {"GPU-a", "GPU-b"}
    for job in jobs:
        job.kill()


def test_processes_of_several_nodes_meet_on_the_first_node_of_the_job():
    step = {"SLURM_STEP_NUM_NODES": "2", "SLURM_NODEID": "1", "SLURM_LAUNCH_NODE_IPADDR": "10.0.0.7"}
    meeting = {"PET_NODE_RANK": "1", "PET_MASTER_ADDR": "10.0.0.7", "PET_MASTER_PORT": "22345"}
    assert cards.meeting_place(step | {"SLURM_JOB_ID": "412345"}) == meeting
    assert cards.meeting_place({"SLURM_STEP_NUM_NODES": "1", "SLURM_JOB_ID": "4"}) == cards.meeting_place({}) == {}
