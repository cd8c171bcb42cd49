# What is asked about the jobs to come before the first of them starts (`onstart` in the Snakefile), and of all at the end.
from simmim.jobs import TRAINING
from simmim.planning.ready import missing_sources


def check_the_data():
    """Refuse, before any job starts, to pack what is not there."""
    jobs = [job for job in workflow.dag.needrun_jobs() if job.rule.name == "pack"]
    if faults := missing_sources(JOBS, [job_of("pack", job.wildcards).config for job in jobs]):
        raise WorkflowError("nothing was started: " + "; ".join(faults))


def outputs_by_scale(jobs):
    """By scale, what some jobs make."""
    found = {}
    for job in jobs:
        if scale := dict(job.wildcards.items()).get("scale"):
            found.setdefault(scale, []).extend(map(str, job.output))
    return found


def is_forced(job):
    """Whether a job is done for `--forcerun` or `--force`, not because anything is missing or out of date."""
    return workflow.dag.reason(job).forced


def runs_to_train():
    """By scale, the runs that the trainings among the jobs to come are for; none where one is for no run in particular."""
    jobs = [job for job in workflow.dag.needrun_jobs() if job.rule.name.removesuffix("_large") in TRAINING]
    runs = {job.wildcards.scale: set() for job in jobs}
    for job in jobs:
        runs[job.wildcards.scale].add(job.wildcards.get("run", ""))
    return {scale: [] if "" in named else sorted(named) for scale, named in runs.items()}
