"""Verbs for people, which no rule of the workflow runs."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from simmim.cluster.asked import PROFILE
from simmim.jobs import Jobs
from simmim.plugin import check_choice


def check(jobs: Jobs, *, scale: str, runs: Sequence[str] = ()) -> None:
    """Build the networks of a scale's rows without weights or data, and print what does not fit."""
    jobs.sheets.checked_scale(scale)
    for run in runs:
        check_choice("run", run, jobs.sheets.all_runs)

    from simmim.planning.check import check_scale  # and torch with it

    check_scale(jobs.sheets, scale, runs)


def plan(
    jobs: Jobs,
    target: str = "everything",
    *,
    scale: str = "",
    gpu: str = "A100",
    gpus: int = 8,
    utilisation: float = 0.35,
    profile: Path | None = None,
    out: Path | None = None,
) -> None:
    """Print what a target would cost, before anything is spent, and write it as Parquet.

    Args:
        target: a table, a figure, a file below results/ or 'everything'.
        gpu: name of a GPU (simmim/train/gpus.py).
        gpus: GPUs of a job.
        utilisation: share of its peak rate that is used.
        profile: Slurm profile whose GPUs, hours and tries must do (slurm/profile.yaml where it is).
        out: Parquet file (results/{scale}/plan.parquet).
    """
    from simmim.planning.gpus import machine
    from simmim.planning.packed import changed_sources, other_counts
    from simmim.planning.planner import plan as write_plan
    from simmim.planning.target import scale_of

    scale = scale or scale_of(target, jobs) or jobs.sheets.config_file.scale
    out = out or Path(jobs.results) / scale / "plan.parquet"
    if profile is None and PROFILE.is_file():
        profile = PROFILE
    print(write_plan(target, jobs, scale, machine(gpu, utilisation, gpus), out, profile))
    for line in changed_sources(jobs, scale) + other_counts(jobs, scale):
        print(line)


def outdated(jobs: Jobs, *, scale: str) -> None:
    """List results that were made with other settings than the sheets have today, or from other data than lie here."""
    from simmim.planning.done import outdated as found_outdated

    check_choice("scale", scale, jobs.sheets.scales())
    print(*found_outdated(jobs, scale), sep="\n")


def clean(jobs: Jobs, *, scale: str, outputs: Sequence[Path] = ()) -> None:
    """Remove what finished jobs of a scale have left in case their outputs are lost.

    Args:
        outputs: files of the jobs that are to be done once more (all jobs by default)

    Raises:
        ValueError: for an output that is not there and that no job makes.
    """
    from simmim.storage.finished import states

    check_choice("scale", scale, jobs.sheets.scales())
    results = Path(jobs.results) / scale
    for output in outputs:
        if not output.exists() and jobs.maker(str(output)) is None and not states(results, [output]):
            raise ValueError(f"there is no {output}, and no job makes such a file; results lie below {results}")
    found = states(results, outputs)
    for folder in found:
        shutil.rmtree(folder)
        print(f"removed {folder}")
    if not found:
        print("nothing to remove: no finished job has left anything" + " of these" * bool(outputs))


def verify(jobs: Jobs, *, scale: str) -> None:
    """Read every byte of a scale's packed data sets, and say which sources have changed since they were packed.

    Raises:
        ValueError: for sets that are damaged, whose source has changed, or that lack images, and where there is none.
    """
    from simmim.data.shards import Shards
    from simmim.planning.packed import changed_sources, other_counts, packed_sets

    problems, packed = [], [*packed_sets(jobs, scale)]
    if not packed:
        raise ValueError(f"no data set of scale '{scale}' is packed below {Path(jobs.results) / scale / 'data'}")
    for config, folder in packed:
        try:
            Shards(folder).verify()
            print(f"{config.dataset}/{config.split}: as it was packed")
        except ValueError as error:
            problems.append(str(error))
    problems += changed_sources(jobs, scale) + other_counts(jobs, scale)
    if problems:
        raise ValueError("; ".join(problems))


def convert(
    *,
    source: Path,
    target: Path,
    image_px: int | None = None,
    window: int | None = None,
    sha256: str | None = None,
    overwrite: bool = False,
) -> None:
    """Convert the authors' published weights into an encoder file, or an encoder file into their layout.

    Args:
        source: a .pth or .safetensors.
        target: .safetensors of ours, or released .pth.
        image_px: side of the input it is written for (default: as in --from).
        window: attention window it is written for (default: as in --from).
        sha256: the published digest of --from in 64 hex digits; another one is refused.
        overwrite: replace --to if it exists.
    """
    from simmim.released.convert import convert as convert_file

    notes = convert_file(source, target, image_px=image_px, window=window, sha256=sha256, overwrite=overwrite)
    print(*notes, sep="\n")


def doctor(jobs: Jobs | None, *, profile: Path | None = None, scale: str = "") -> None:
    """Say what torch, the driver and the cards of this machine are, what is wrong and what to do.

    Args:
        profile: Slurm profile whose jobs, folder, disk and data are to be looked at (default: none).
        scale: whose data and disk those are (default: as in config/config.yaml).

    Raises:
        ValueError: for cards that the driver has, or that a job was promised, and torch cannot use; for what Slurm
            would refuse, or a job would miss.
    """
    from simmim.train.device import chosen_device, examined

    print(*examined(), sep="\n")
    print(f"jobs    train on {chosen_device().type.replace('cpu', 'the CPU')} here")
    if profile is not None:
        if jobs is None:
            raise ValueError("what jobs need stands in sheets: run this where config/ lies, or name one by --config")
        _examine_cluster(jobs, profile, scale or jobs.sheets.config_file.scale)


def _examine_cluster(jobs: Jobs, profile: Path, scale: str) -> None:
    from simmim.cluster import asked, checks, folder
    from simmim.planning.gpus import machine
    from simmim.planning.limits import names_of_rules, rules_that_train
    from simmim.planning.packed import other_counts
    from simmim.planning.planner import planned_rows
    from simmim.planning.ready import data_to_pack, disk_faults, missing_sources

    kinds = asked.alike(asked.asked_by(profile))
    results = Path(jobs.results)
    of_names = checks.faults_of_names(asked.set_by(profile), names_of_rules(), rules_that_train(jobs))
    if faults := [*(of_names or checks.faults(kinds, asked.settings_of(profile), profile)), *folder.faults(results)]:
        raise ValueError("; ".join(faults))
    rows = planned_rows("everything", jobs, scale, machine("A100", 0.35, 8))  # the GPU decides hours only
    to_pack = [jobs.sheets.packed(scale, *each) for each in data_to_pack(rows)]
    full_disk = disk_faults(rows, results, asked.jobs_at_a_time(profile))
    if faults := [*missing_sources(jobs, to_pack), *other_counts(jobs, scale), *full_disk]:
        raise ValueError("; ".join(faults))
    print(f"slurm   takes every kind of job in {profile}: {', '.join(str(each) for each in kinds)}")
    print(f"disk    {results.resolve()} has room for scale {scale}, its renames and locks work; its data are there")


def recover(*, cancel: bool = False, ended: bool = False) -> None:
    """Go on after Snakemake was killed: wait for jobs it left, unlock the folder, run the same command.

    Args:
        cancel: end jobs that are left instead of waiting for them.
        ended: the Snakemake that ran on another host does not run any more.
    """
    from simmim.cluster.recovery import recover as go_on

    sys.exit(go_on(Path(), cancel, ended))


def migrate(jobs: Jobs, *, scale: str) -> None:
    """Bring results of a scale that an earlier version has written up to date; no value changes."""
    from simmim.migration import migrate as rewrite

    check_choice("scale", scale, jobs.sheets.scales())
    lines = rewrite(Path(jobs.results) / scale)
    print(*(lines or ["nothing to bring up to date"]), sep="\n")
    if lines:
        print("Snakemake remembers the old hashes and would make all of it again: run it once with --touch")
