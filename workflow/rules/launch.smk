# How a job is started: its processes and cards, the minutes that it has.
from simmim import said
from simmim.cluster import again
from simmim.cluster.asked import Asked, fault_of_nodes
from simmim.train import cards

# Cards of this machine. A job that runs a network takes one, as many such jobs run at a time, and each has cards of its own,
# or shares one with others where SIMMIM_JOBS_PER_CARD says so; `--set-resources pretrain:gpu=4` gives the jobs of a rule more.
# `--resources gpu=1` runs fewer such jobs at a time. On a cluster its profile says what a job is granted.
CARDS = len(cards.visible())
GPUS = min(CARDS, 1)
is_cluster = workflow.resource_settings.nodes is not None
try:
    said.stuck_seconds()  # what is no time would end every job
    if CARDS and workflow.is_main_process and not is_cluster and "gpu" not in workflow.global_resources:
        workflow.register_resource("gpu", CARDS * cards.jobs_per_card())
except ValueError as error:
    raise WorkflowError(str(error)) from None


# Starts a command again that dies, within the job (simmim/cluster/again.py).
AGAIN = "python -m simmim.cluster.again"


def launcher(wildcards, resources):
    """One process, or one per GPU of the job's nodes, in an environment that says what it was granted."""
    try:
        return f"env {granted(wildcards, resources)}{command_of(Asked(['a job'], dict(resources.items())))}"
    except ValueError as error:
        raise SystemExit(f"simmim: error: {error}")  # as in job_of


def command_of(asked):
    """What starts the processes; without `--` torchrun would take our --run for its --run-path."""
    gpus, nodes = asked.gpus, asked.nodes
    if fault := fault_of_nodes(asked):
        raise ValueError(fault)
    if not gpus:
        return f"{AGAIN} python -m simmim"
    if nodes > 1:  # a torchrun on each; where they meet, simmim/train/cards.py finds in the environment of the step
        each, srun = gpus // nodes, asked.resources["mpi"]
        cpus = asked.count("tasks_per_node") * asked.count("cpus_per_task")
        step = f"--nodes={nodes} --ntasks={nodes} --ntasks-per-node=1 --gpus-per-node={each} --cpus-per-task={cpus}"
        start = f"torchrun --nnodes={nodes} --nproc-per-node={each} -m -- simmim"
        return f"{AGAIN} {srun} {step} --kill-on-bad-exit=1 python -m simmim.train.cards {each} {start}"
    start = f"torchrun --standalone --nproc-per-node={gpus} -m -- simmim" if gpus > 1 else "python -m simmim"
    return f"python -m simmim.train.cards {gpus} {AGAIN} {start}"


def granted(wildcards, resources):
    """The minutes that a cluster gives a job, for it to save before they end."""
    minutes = resources.get("runtime")
    return f"{again.MINUTES}={minutes} " if minutes else ""


def processes(wildcards, threads, resources):
    """CPUs of a job: those that a cluster grants it, or its threads."""
    return resources.get("cpus_per_task") or threads
