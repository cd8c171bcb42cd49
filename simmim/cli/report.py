"""Verbs that train nothing: sizes of networks, statistics of masks, tables, figures, the page; other machines."""

from __future__ import annotations

from pathlib import Path

from simmim.cli._inputs import present, with_inputs
from simmim.jobs import Jobs
from simmim.report import catalogue


def size(jobs: Jobs, *, scale: str, run: str, expect: str = "") -> None:
    """Count parameters and multiply-adds of one run's networks."""
    from simmim.planning.sizes import write_sizes

    job = jobs.job("size", scale=scale, run=run).planned_with(expect)
    write_sizes(job.config, job.output("records"))


def avg_dist(jobs: Jobs, *, scale: str) -> None:
    """Measure how far each run's masks put hidden content from visible content."""
    from simmim.pretraining.masking import write_avg_dist

    runs = catalogue.facts(jobs.sheets, scale).measured_masks()
    configs = [jobs.sheets.pretraining(scale, run) for run in runs]
    write_avg_dist(jobs.job("avg_dist", scale=scale).output("records"), configs)


def mask_samples(jobs: Jobs, *, scale: str) -> None:
    """Put some validation images under each kind of mask, for a figure."""
    from simmim.data.shards import Shards
    from simmim.pretraining.masking import write_mask_samples

    job = with_inputs(jobs.job("mask_samples", scale=scale))
    images = Shards(jobs.data_folders(job.config)["val"])
    write_mask_samples(job.output("pictures"), job.config, jobs.sheets.scale(scale).pixels, images)


def table(jobs: Jobs, *, scale: str, name: str) -> None:
    """Write one table as Parquet, Markdown and HTML."""
    from simmim.report.write import write_table

    job = with_inputs(jobs.job("table", scale=scale, name=name))
    inputs, out = [Path(file) for file in job.inputs["results"]], job.output("md").with_suffix("")
    write_table(name, inputs, out, catalogue.facts(jobs.sheets, scale))


def figure(jobs: Jobs, *, scale: str, name: str) -> None:
    """Draw one figure from cached Parquet."""
    from simmim.report.write import write_figure

    job = with_inputs(jobs.job("figure", scale=scale, name=name))
    inputs, out = [Path(file) for file in job.inputs["results"]], job.output("png").with_suffix("")
    write_figure(name, inputs, out, catalogue.facts(jobs.sheets, scale))


def page(jobs: Jobs, *, scale: str) -> None:
    """Write the report page, one file that opens offline."""
    from simmim.report.page import write_page

    job = with_inputs(jobs.job("page", scale=scale))
    tables, figures, card = ([Path(file) for file in job.inputs[role]] for role in ("tables", "figures", "card"))
    write_page(job.output("html"), scale, tables, figures, next(iter(card), None))


def compare(jobs: Jobs, *, scale: str) -> None:
    """Say which numbers of a scale lie outside what other machines have measured."""
    from simmim.report import elsewhere
    from simmim.report.results import Results

    facts = catalogue.facts(jobs.sheets, scale)
    file = Path(jobs.results) / f"{scale}_numbers.parquet"
    if not file.exists():
        print(f"What other machines measure at scale {scale} is not known: {file} is not there.")
        return
    known, page = elsewhere.read(file), jobs.path("page", "html", scale=scale)
    found = Results(present(jobs.files(scale, elsewhere.needs(facts)), "compare", page), facts)
    print(*elsewhere.compared(elsewhere.numbers(found, facts), known, facts), sep="\n")
