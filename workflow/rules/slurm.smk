# What a Slurm cluster needs of the main process; on nodes of the cluster and elsewhere nothing happens.

import importlib.util

from snakemake.exceptions import WorkflowError

from simmim.cluster import asked, checks, folder, patience, recovery

SLURM = None  # the plugin's executor; without the plugin there is no cluster
if importlib.util.find_spec("snakemake_executor_plugin_slurm"):
    from snakemake_executor_plugin_slurm import Executor as SLURM

    patience.teach(SLURM)


localrules:
    size,
    avg_dist,
    mask_samples,
    table,
    figure,
    page,


def check_the_cluster():
    """Refuse, before the first submission, what Slurm would refuse or leave in its queue for ever."""
    if workflow.executor_plugin.executor is not SLURM:
        return
    jobs = {job.rule.name: dict(job.resources.items()) for job in workflow.dag.needrun_jobs() if not job.is_local}
    training = [rule for rule in jobs if rule.removesuffix("_large") in TRAINING]
    of_rules = workflow.resource_settings.overwrite_resources
    try:
        faults = checks.faults_of_names(of_rules, [rule.name for rule in workflow.rules], training)
        faults = faults or checks.faults(asked.alike(jobs), workflow.executor_settings)
    except ValueError as error:
        faults = [str(error)]
    faults += folder.faults(Path(JOBS.results))
    if faults:
        raise WorkflowError("nothing was submitted: " + "; ".join(faults))
    recovery.remember(Path(), workflow.overwrite_workdir)
