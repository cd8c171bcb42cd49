# What is asked about the jobs to come before the first of them starts (`onstart` in the Snakefile), and of all at the end.
from simmim.jobs import TRAINING
from simmim.planning.ready import missing_sources


def check_the_data():
    """Refuse, before any job starts, to pack what is not there."""
    jobs = [job for job in workflow.dag.needrun_jobs() if job.rule.name == "pack"]
    if faults := missing_sources(JOBS, [job_of("pack", job.wildcards).config for job in jobs]):
        raise WorkflowError("nothing was started: " + "; ".join(faults))


def check_for_repeats():
    """Refuse to train again what is finished, as where results come with the repository, for data that are to be packed.

    Snakemake repeats whatever reads a file that it makes; once that is there, what it holds counts (`outdated`).
    """
    from simmim.storage.reading import some_of
    from simmim.planning.done import is_finished, is_outdated

    jobs = [*workflow.dag.needrun_jobs()]
    packed = {str(file) for job in jobs if job.rule.name == "pack" for file in job.output}
    readers = [job for job in jobs if not is_forced(job) and packed.intersection(map(str, job.input))]
    made = [job_of(job.rule.name.removesuffix("_large"), job.wildcards) for job in readers]
    if finished := [job for job in made if job.kind in TRAINING and is_finished(job) and not is_outdated(job)]:
        names = sorted({job.wildcards.get("run") or job.wildcards["tokenizer"] for job in finished})
        raise WorkflowError(
            f"nothing was started: {some_of(names)} would be done again, for their data are not packed here. Pack these "
            "first, then give the same command: data that are the same as then train nothing again.\n"
            f"  snakemake --profile ... -- {' '.join(sorted(packed))}"
        )


def forget(jobs):
    """Remove what these jobs have left in case their outputs are lost; others may have ended without being noted."""
    import shutil

    from simmim.storage.finished import states

    outputs = [Path(file) for job in jobs for file in map(str, job.output)]
    try:
        for state in states(Path(JOBS.results), outputs) if outputs else ():
            shutil.rmtree(state)
    except ValueError as error:  # a damaged note
        raise WorkflowError(str(error)) from None


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
