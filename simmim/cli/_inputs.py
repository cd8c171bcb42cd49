"""Whether what a job reads is there."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from simmim.jobs import Job


def with_inputs(job: Job) -> Job:
    """The same job, all of whose inputs must be there; raises as `present`."""
    what = " ".join([job.kind, *(text for name, text in job.wildcards.items() if name != "scale")])
    present(job.input_files(), what, next(iter(job.outputs.values())))
    return job


def present(files: Sequence[str], what: str, target: str) -> Sequence[str]:
    """The same files, all of which must be there.

    Args:
        what: is made from them.
        target: what Snakemake is asked for, so that it makes them.

    Raises:
        FileNotFoundError: naming the first that is missing, how many are, and what makes them.
    """
    missing = [file for file in files if not Path(file).exists()]
    if missing:
        raise FileNotFoundError(
            f"{what}: {len(missing)} of its {len(files)} inputs are not there yet, the first is {missing[0]}; "
            f"`snakemake {target}` makes them and what they need"
        )
    return files
