# What a Slurm cluster needs of the main process; on nodes of the cluster and elsewhere nothing happens.

import snakemake_executor_plugin_slurm as slurm
from snakemake.exceptions import WorkflowError

from simmim.cluster import asked, checks, folder, patience, recovery
from simmim.planning.ready import missing_sources

patience.teach(slurm.Executor)


localrules:
    size,
    avg_dist,
    mask_samples,
    table,
    figure,
    page,


def check_the_cluster():
    """Refuse, before the first submission, what Slurm would refuse or leave in its queue for ever."""
    if workflow.executor_plugin.executor is not slurm.Executor:
        return
    jobs = [job for job in workflow.dag.needrun_jobs() if not job.is_local]
    try:
        faults = checks.faults(asked.alike({job.rule.name: dict(job.resources.items()) for job in jobs}))
    except ValueError as error:
        faults = [str(error)]
    packed = [JOBS.job("pack", **dict(job.wildcards.items())).config for job in jobs if job.rule.name == "pack"]
    faults += folder.faults(Path(JOBS.results)) + missing_sources(JOBS, packed)
    if faults:
        raise WorkflowError("nothing was submitted: " + "; ".join(faults))
    recovery.remember(Path(), sys.argv[1:])
