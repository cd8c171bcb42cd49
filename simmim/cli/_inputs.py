"""Whether what a job reads is there."""

from __future__ import annotations

from pathlib import Path

from simmim.jobs import Job


def with_inputs(job: Job) -> Job:
    """The same job, all of whose inputs must be there.

    Raises:
        FileNotFoundError: naming the first that is missing, how many are, and what makes them.
    """
    files = job.input_files()
    missing = [file for file in files if not Path(file).exists()]
    if missing:
        what = " ".join([job.kind, *(text for name, text in job.wildcards.items() if name != "scale")])
        raise FileNotFoundError(
            f"{what}: {len(missing)} of its {len(files)} inputs are not there yet, the first is {missing[0]}; "
            f"`snakemake {next(iter(job.outputs.values()))}` makes them and what they need"
        )
    return job
