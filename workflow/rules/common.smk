import importlib.util
import os
import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError

# In a checkout the package lies beside this workflow, and its jobs take it from there wherever they work; deployed from a
# repository or used as its module, the workflow needs the installed one.
CHECKOUT = Path(workflow.current_basedir.get_path_or_uri(secret_free=True)).parents[1]
if (CHECKOUT / "simmim" / "__main__.py").is_file():
    sys.path.insert(0, str(CHECKOUT))
    searched = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    os.environ.update(PYTHONPATH=os.pathsep.join(filter(None, dict.fromkeys([str(CHECKOUT), *searched]))))
elif importlib.util.find_spec("simmim") is None:
    raise WorkflowError(
        "the workflow needs the package simmim beside Snakemake: from a clone, pip install './simmim[workflow]'"
    )

from simmim.config.errors import located_at, validated
from simmim.config.rows import ConfigFile
from simmim.config.sheets import Sheets
from simmim.jobs import Jobs
from simmim.report import catalogue
from simmim.storage.paths import pattern

try:
    with located_at("config/config.yaml or --config"):
        given = validated(ConfigFile, config)
    config.update(given.model_dump())
    JOBS = Jobs(Sheets("config"))
    with located_at("--config, or another configfile"):
        JOBS.sheets.config_file.check_given(given)
    FINE_TUNINGS = JOBS.sheets.fine_tunings()
except ValueError as error:
    raise WorkflowError(str(error)) from None  # printed without a traceback
# Runs whose trainings have rules, and so resources, of their own.
LARGE = "|".join(JOBS.sheets.config_file.large) or "(?!)"
SMALLER = rf"(?!(?:{LARGE})/)[A-Za-z0-9_]+"
OTHERS = rf"(?!(?:{'|'.join(FINE_TUNINGS)})\.parquet)[A-Za-z0-9_]+"  # evaluations, misspelt ones too: job_of names the nearest


def job_of(kind, wildcards):
    """A job; a mistake in what was asked for ends Snakemake with its sentence, around which it would print a traceback."""
    try:
        return JOBS.job(kind, **dict(wildcards.items()))
    except ValueError as error:
        raise SystemExit(f"simmim: error: {error}")


def inputs(kind):
    """An input function: the files that a job of this kind reads, by role; of data not their time counts (`outdated`)."""

    def found(wildcards):
        job = job_of(kind, wildcards)
        by_content = job.inputs_by_content()
        return {
            role: [ancient(file) if file in by_content else file for file in files]
            for role, files in job.inputs.items()
        }

    return found


def hash_of(kind):
    """A params function: changes with whatever determines what a job of this kind makes."""
    return lambda wildcards: job_of(kind, wildcards).hash


def made(kind, role):
    """Where a kind of job puts an output."""
    return pattern(JOBS.results, kind, role)
