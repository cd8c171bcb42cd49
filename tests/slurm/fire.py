"""A training under Snakemake and Slurm whose every step is noted, and what can be done to it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import projects
from toy import Toy

TARGET = "results/smoke/pretrain/default/seed0/train.parquet"
ENCODER = "results/smoke/pretrain/default/seed0/encoder.safetensors"
WORK = [b"-m", b"simmim", b"pretrain"]
OLD = "epochs: 2, warmup_epochs: 1, batch: 16, micro_batch: 8"
STEPS_PER_EPOCH = 4
# Appended to the copy that is under fire: every step waits, as for a card, and notes its time, process and number.
TRACE = """

def _traced(due, file="steps.txt"):
    import os

    def traced(self, step):
        time.sleep(float(os.environ["UNDER_FIRE_WAIT"]))
        with open(file, "a") as steps:
            steps.write(f"{time.time()} {os.getpid()} {step}\\n")
        return due(self, step)

    return traced


Saver.due = _traced(Saver.due)
"""


@dataclass(frozen=True)
class Step:
    """One step that was done."""

    time: float
    process: int
    number: int


class Fire:
    """A training under Snakemake and Slurm, and what can be done to it."""

    def __init__(self, folder: Path, slurm: Toy) -> None:
        self.folder, self.slurm = folder, slurm
        self.snakemake = projects.start(folder, slurm.environment, "--retries", "1000", "--", TARGET)

    def process(self) -> int | None:
        """The training's process, while there is one."""
        for found in Path("/proc").glob("[0-9]*"):
            try:
                words = (found / "cmdline").read_bytes().split(b"\0")
                if words[1:4] == WORK and (found / "cwd").samefile(self.folder):
                    return int(found.name)
            except OSError:
                continue
        return None

    def job(self) -> str:
        """The number of the training's job, "" where its process has just gone."""
        return self.slurm.ask("squeue", "--noheader", "--states=R", "--format=%i").stdout.split("\n")[0].strip()

    def steps(self) -> list[Step]:
        """Every step so far, also those done twice."""
        file = self.folder / "steps.txt"
        lines = file.read_text().splitlines() if file.exists() else []
        found = [line.split() for line in lines]
        return [Step(float(when), int(process), int(number)) for when, process, number in found]

    def signalled(self, number: int) -> Callable[[], None]:
        """A fault that sends the process a signal."""

        def send() -> None:
            if process := self.process():
                os.kill(process, number)

        return send

    def faults(self) -> dict[str, Callable[[], object]]:
        """Every kind of fault by its name."""
        return {
            "kill -9": self.signalled(signal.SIGKILL),
            "segmentation fault": self.signalled(signal.SIGSEGV),
            "stopped (SIGSTOP)": self.signalled(signal.SIGSTOP),
            "TERM": self.signalled(signal.SIGTERM),
            "scancel": lambda: self.slurm.ask("scancel", self.job()),
            "scontrol requeue": lambda: self.slurm.ask("scontrol", "requeue", self.job()),
            "node down": self.node_down,
            "Snakemake killed": self.kill_snakemake,
            "controller away": self.controller_away,
        }

    def node_down(self) -> None:
        """The job's node is down for five seconds."""
        node = self.slurm.ask("squeue", "--noheader", f"--jobs={self.job()}", "--format=%N").stdout.strip()
        self.slurm.ask("scontrol", "update", f"nodename={node}", "state=down", "reason=fire")
        time.sleep(5)
        self.slurm.ask("scontrol", "update", f"nodename={node}", "state=resume")

    def controller_away(self) -> None:
        """Slurm's controller is silent for ten seconds."""
        self.slurm.signal_controller(signal.SIGSTOP)
        time.sleep(10)
        self.slurm.signal_controller(signal.SIGCONT)

    def kill_snakemake(self) -> None:
        """Kill Snakemake, or the `simmim recover` that followed it, and recover."""
        for found in Path(f"/proc/{self.snakemake.pid}/task/{self.snakemake.pid}/children").read_text().split():
            os.kill(int(found), signal.SIGKILL)
        self.snakemake.kill()
        self.snakemake.wait()
        own = {"HOME": str(self.folder), "PYTHONPATH": str(self.folder), "OMP_NUM_THREADS": "1"}
        with (self.folder / "out.log").open("ab") as out:
            command = [sys.executable, "-m", "simmim", "recover"]
            environment = self.slurm.environment | own | {"SIMMIM_DEVICE": "cpu"}
            self.snakemake = subprocess.Popen(command, cwd=self.folder, env=environment, stdout=out, stderr=out)


def project(folder: Path, steps: int, save_minutes: float) -> Path:
    """The project at smoke scale with a pre-training of so many steps, packed data, and its steps traced."""
    folder.mkdir()
    projects.smoke(folder, pretrain={"slurm_partition": "cpu", "mem_mb": 2000, "runtime": 240})
    scale = folder / "config" / "scales" / "smoke.yaml"
    settings = f"epochs: {steps // STEPS_PER_EPOCH}, warmup_epochs: 1, batch: 16, micro_batch: 16"
    saves = f"save_every_steps: 1000000, save_every_minutes: {save_minutes}"
    text = scale.read_text()
    assert text.count(OLD) == 1, "smoke.yaml has changed: name its settings here"
    before, after = text.split(OLD)
    scale.write_text(before + settings + after.replace("save_every_steps: 4", saves, 1))
    with (folder / "simmim" / "train" / "saver.py").open("a") as saver:
        saver.write(TRACE)
    return folder


def undisturbed(folder: Path) -> subprocess.Popen[bytes]:
    """Pack the data, and start the training without Slurm and faults at the lowest priority."""
    projects.local(folder, "--until", "pack", "--", TARGET)
    own = {"HOME": str(folder), "PYTHONPATH": str(folder), "OMP_NUM_THREADS": "1", "SIMMIM_DEVICE": "cpu"}
    own |= {"UNDER_FIRE_WAIT": "0"}
    work = [sys.executable, "-m", "simmim", "pretrain", "--scale=smoke", "--run=default", "--seed=0"]
    with (folder / "out.log").open("ab") as out:
        return subprocess.Popen(["nice", "-n", "19", *work], cwd=folder, env=os.environ | own, stdout=out, stderr=out)
