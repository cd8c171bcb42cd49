"""Projects that run on the throw-away Slurm: two rules that sleep, or this project at smoke scale."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]
# Of the profile that users get, but for what is theirs and for waits that are long on purpose.
QUICK = {"jobs": 4, "latency-wait": 5, "slurm-init-seconds-before-status-checks": 2, "retries": 3, "local-cores": 1}
SMALL = {"slurm_account": "tests", "slurm_partition": "cpu", "nodes": 1, "gpu": 0, "mem_mb": 900, "runtime": 30}

LEFT_OUT = "inat, supervised, attentive, detect, segment, segment_lr3e4, segment_pretrained, segment_pretrained_lr3e4"

SLEEPERS = """
import sys
sys.path.insert(0, "{root}")
import snakemake_executor_plugin_slurm
from simmim.cluster import patience
patience.POLL_SECONDS = 1
patience.teach(snakemake_executor_plugin_slurm.Executor)

rule all:
    input: "second"
rule first:
    output: "first"
    shell: "sleep {seconds}; touch {{output}}"
rule second:
    input: "first"
    output: "second"
    shell: "touch {{output}}"
"""


def profile(folder: Path, **resources: dict) -> None:
    """Write the profile `slurm` of a folder: the project's, on the throw-away cluster."""
    given = yaml.safe_load((ROOT / "workflow" / "profiles" / "slurm" / "profile.yaml").read_text())
    given |= QUICK | {"default-resources": SMALL}
    given = {name: value for name, value in given.items() if name != "set-resources"}
    given |= {"set-resources": resources} if resources else {}
    if (folder / "slurm").is_symlink():
        (folder / "slurm").unlink()
    (folder / "slurm").mkdir(exist_ok=True)
    (folder / "slurm" / "profile.yaml").write_text(yaml.safe_dump(given))


def sleepers(folder: Path, seconds: int) -> Path:
    """Two jobs, one after the other, of which the first takes so long."""
    profile(folder)
    (folder / "Snakefile").write_text(SLEEPERS.format(root=ROOT, seconds=seconds))
    return folder


def start(
    folder: Path, environment: dict[str, str], *arguments: str, program: str = "snakemake"
) -> subprocess.Popen[bytes]:
    """Snakemake with the profile `slurm`; what it prints goes to `out.log`."""
    own = {"HOME": str(folder), "PYTHONPATH": str(folder), "OMP_NUM_THREADS": "1", "SIMMIM_DEVICE": "cpu"}
    with (folder / "out.log").open("ab") as out:
        return subprocess.Popen(
            [sys.executable, "-m", program, "--profile", "slurm", "--nocolor", *arguments],
            cwd=folder,
            env=environment | own,
            stdout=out,
            stderr=out,
        )


def ended(snakemake: subprocess.Popen[bytes], seconds: float) -> int | str:
    """The exit code of a Snakemake, "hangs" where it does not end in time."""
    try:
        return snakemake.wait(seconds)
    except subprocess.TimeoutExpired:
        snakemake.kill()
        return "hangs"


def submitted(snakemake: subprocess.Popen[bytes], folder: Path, seconds: float = 120) -> None:
    """Return when a Snakemake has submitted a job."""
    end = time.monotonic() + seconds
    while "has been submitted" not in (said := (folder / "out.log").read_text()):
        assert snakemake.poll() is None and time.monotonic() < end, said[-3000:]
        time.sleep(0.3)


def smoke(folder: Path, *, precision: str = "auto", **resources: dict) -> Path:
    """This project with two runs and quick evaluations at smoke scale, and a profile `slurm` with resources by rule."""
    for part in ("config", "simmim", "workflow"):
        shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
    scale = folder / "config" / "scales" / "smoke.yaml"
    text = scale.read_text().replace("pretrain:\n  train: {", f"pretrain:\n  train: {{precision: {precision}, ")
    scale.write_text(text + f"runs: [default, random_swin]\nwithout: [{LEFT_OUT}]\n")
    profile(folder, **resources)
    return folder


def local(folder: Path, *arguments: str, seconds: float = 600) -> None:
    """Run Snakemake on this machine to its end."""
    command = [sys.executable, "-m", "snakemake", "--profile", "workflow/profiles/local", "--nocolor", *arguments]
    environment = os.environ | {"HOME": str(folder), "PYTHONPATH": str(folder), "OMP_NUM_THREADS": "1"}
    environment |= {"SIMMIM_DEVICE": "cpu"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=seconds)
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
