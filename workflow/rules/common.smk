import sys
from pathlib import Path

sys.path.insert(0, str(Path(workflow.basedir).parent))

from simmim.config.errors import validated
from simmim.config.rows import ConfigFile
from simmim.config.sheets import Sheets
from simmim.jobs import TRAINING, Jobs
from simmim.report import catalogue
from simmim.storage.paths import pattern

validated(ConfigFile, config)
JOBS = Jobs(Sheets("config"))
FINE_TUNINGS = JOBS.sheets.fine_tunings()
OTHER_EVALUATIONS = {evaluation for _, evaluation in JOBS.sheets.evaluate} - {*FINE_TUNINGS}


def inputs(kind):
    """An input function: the files that a job of this kind reads, by role."""
    return lambda wildcards: JOBS.job(kind, **dict(wildcards.items())).inputs


def hash_of(kind):
    """A params function: changes with whatever determines what a job of this kind makes."""
    return lambda wildcards: JOBS.job(kind, **dict(wildcards.items())).hash


def made(kind, role):
    """Where a kind of job puts an output."""
    return pattern(JOBS.results, kind, role)


# Training allocates and frees the same large blocks in every step; glibc would give them back to the system each time.
# Worth 10 to 20 % of a step on a CPU.
KEEP_MEMORY = "MALLOC_TOP_PAD_=268435456 MALLOC_TRIM_THRESHOLD_=17179869184 MALLOC_MMAP_MAX_=0"


def launcher(wildcards, resources):
    """One process, or one per GPU of the job's node; without `--` torchrun would take our --run for its --run-path."""
    gpus = int(resources.get("gpu", 0) or 0)
    if gpus > 1:
        return f"torchrun --standalone --nproc-per-node={gpus} -m -- simmim"
    return "python -m simmim" if gpus else f"env {KEEP_MEMORY} python -m simmim"


def runs_to_train():
    """By scale, the runs that the trainings among the jobs to come are for; none where one is for no run in particular."""
    jobs = [job for job in workflow.dag.needrun_jobs() if job.rule.name in TRAINING]
    runs = {job.wildcards.scale: set() for job in jobs}
    for job in jobs:
        runs[job.wildcards.scale].add(job.wildcards.get("run", ""))
    return {scale: [] if "" in named else sorted(named) for scale, named in runs.items()}
