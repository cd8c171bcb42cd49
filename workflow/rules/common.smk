import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError
from snakemake.persistence.file import FilePersistence

sys.path.insert(0, str(Path(workflow.basedir).parent))

from simmim.config.errors import located_at, validated
from simmim.config.rows import ConfigFile
from simmim.config.sheets import Sheets
from simmim.jobs import TRAINING, Jobs
from simmim.report import catalogue
from simmim.storage.paths import pattern

try:
    with located_at("config/config.yaml or --config"):
        validated(ConfigFile, config)
    JOBS = Jobs(Sheets("config"))
    FINE_TUNINGS = JOBS.sheets.fine_tunings()
except ValueError as error:
    raise WorkflowError(str(error)) from None  # printed without a traceback
LARGE = "|".join(JOBS.sheets.config_file.large) or "(?!)"  # runs whose trainings have rules, and so resources, of their own
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


# Snakemake compares settings with those it has noted, and notes none for a job that ends after Snakemake was killed. What
# the files themselves say counts too: those of other settings are to be made again, as incomplete ones are, for as long
# as the settings differ. A dry run with a setting that is then taken back must not cost a training.
if workflow.is_main_process and Path(JOBS.results, config["scale"]).is_dir():
    outdated = {*filter(None, shell(f"python -m simmim outdated --scale {config['scale']}", iterable=True))}
    marks, marked = FilePersistence(nolock=True), Path(".snakemake", f"outdated_{config['scale']}.txt")
    for file in {*marked.read_text().splitlines()} - outdated if marked.exists() else ():
        marks._unmark_incomplete(file)
    for file in outdated:
        marks._mark_incomplete(file, None)
    marked.write_text("\n".join(sorted(outdated)))


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
