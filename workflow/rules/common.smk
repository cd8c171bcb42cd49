import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError
from snakemake.persistence.file import FilePersistence

sys.path.insert(0, str(Path(workflow.basedir).parent))

from simmim.cluster import again
from simmim.config.errors import located_at, validated
from simmim.config.rows import ConfigFile
from simmim.config.sheets import Sheets
from simmim.jobs import TRAINING, Jobs
from simmim.report import catalogue
from simmim.storage.paths import pattern
from simmim.train import cards

try:
    with located_at("config/config.yaml or --config"):
        validated(ConfigFile, config)
    JOBS = Jobs(Sheets("config"))
    FINE_TUNINGS = JOBS.sheets.fine_tunings()
except ValueError as error:
    raise WorkflowError(str(error)) from None  # printed without a traceback
LARGE = "|".join(JOBS.sheets.config_file.large)  # runs whose trainings have rules, and so resources, of their own
SMALLER = rf"(?!(?:{LARGE})/)[A-Za-z0-9_]+"
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


# Runs a command with its output in the rule's log, which is kept when the next attempt begins.
LOGGED = f"bash {workflow.basedir}/scripts/logged.sh"


# Training allocates and frees the same large blocks in every step; glibc would give them back to the system each time.
# Worth 10 to 20 % of a step on a CPU.
KEEP_MEMORY = "MALLOC_TOP_PAD_=268435456 MALLOC_TRIM_THRESHOLD_=17179869184 MALLOC_MMAP_MAX_=0"


# Cards of this machine. A job that runs a network takes one, as many such jobs run at a time, and each has cards of its own;
# `--set-resources pretrain:gpu=4` gives the jobs of a rule more. On a cluster its profile says what a job is granted.
CARDS = len(cards.visible())
GPUS = min(CARDS, 1)
if CARDS and workflow.is_main_process and workflow.resource_settings.nodes is None:  # no cluster
    workflow.register_resource("gpu", CARDS)


def launcher(wildcards, resources):
    """One process, or one per GPU of the job's nodes; without `--` torchrun would take our --run for its --run-path."""
    gpus, nodes = (int(resources.get(name, 0) or 0) for name in ("gpu", "nodes"))
    if not gpus:
        return f"env {granted(wildcards, resources)}{KEEP_MEMORY} python -m simmim"
    if nodes > 1:  # a torchrun on each; where they meet, simmim/train/cards.py finds in the environment of the step
        each, cpus = gpus // nodes, resources.tasks_per_node * resources.cpus_per_task
        step = f"--nodes={nodes} --ntasks={nodes} --ntasks-per-node=1 --gpus-per-node={each} --cpus-per-task={cpus}"
        start = f"torchrun --nnodes={nodes} --nproc-per-node={each} -m -- simmim"
        return f"env {granted(wildcards, resources)}{resources.mpi} {step} --kill-on-bad-exit=1 python -m simmim.train.cards {each} {start}"
    start = f"torchrun --standalone --nproc-per-node={gpus} -m -- simmim" if gpus > 1 else "python -m simmim"
    return f"env {granted(wildcards, resources)}python -m simmim.train.cards {gpus} {start}"


def granted(wildcards, resources):
    """The minutes that a cluster gives a job, for it to save before they end."""
    minutes = resources.get("runtime")
    return f"{again.MINUTES}={minutes} " if minutes else ""


# Snakemake compares settings with those it has noted, and notes none for a job that ends after Snakemake was killed. What
# the files themselves say counts too: those of other settings are to be made again, as incomplete ones are.
if workflow.is_main_process and Path(JOBS.results, config["scale"]).is_dir():
    outdated = shell(f"python -m simmim outdated --scale {config['scale']}", iterable=True)
    for file in filter(None, outdated):
        FilePersistence(nolock=True)._mark_incomplete(file, None)


def processes(wildcards, threads, resources):
    """CPUs of a job: those that a cluster grants it, or its threads."""
    return resources.get("cpus_per_task") or threads


def runs_to_train():
    """By scale, the runs that the trainings among the jobs to come are for; none where one is for no run in particular."""
    jobs = [job for job in workflow.dag.needrun_jobs() if job.rule.name.removesuffix("_large") in TRAINING]
    runs = {job.wildcards.scale: set() for job in jobs}
    for job in jobs:
        runs[job.wildcards.scale].add(job.wildcards.get("run", ""))
    return {scale: [] if "" in named else sorted(named) for scale, named in runs.items()}
