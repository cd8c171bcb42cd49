"""Does every kind of row run at its real size, does its loss start where theory puts it, and what does it take?

    python benchmarks/real_size.py             runs what is missing and writes docs/real_size.md
    python benchmarks/real_size.py swin_b      only runs whose names begin so

Two updates of two images each at scale `real_size`, through Snakemake, one job at a time: an hour or two on one core,
up to 20 GB. What is finished stays finished, so an interrupted run goes on, and the page shows what there is.
"""

from __future__ import annotations

import json
import math
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from simmim.config.errors import DoesNotFit
from simmim.config.sheets import Sheets
from simmim.jobs import Job, Jobs
from simmim.planning.cost import Costs
from simmim.planning.gpus import machine
from simmim.planning.jobs import groups_of
from simmim.planning.rows import rows_of
from simmim.storage import records
from simmim.storage.files import write_text

ROOT = Path(__file__).parents[1]
LIBRARIES = 0.8  # GB: what a process of `simmim` holds before it has a network
FIFTH = 0.2
SCALE = "real_size"
LOGS = ROOT / "logs" / SCALE
PAGE = ROOT / "docs" / "real_size.md"
# What is freed is given back at once, so that the most that a job held is what it needed (workflow/rules/launch.smk).
GIVE_BACK = {"MALLOC_MMAP_MAX_": "65536", "MALLOC_TRIM_THRESHOLD_": "131072", "MALLOC_TOP_PAD_": "131072"}
PATIENT = {"SIMMIM_STUCK_MINUTES": "600"}  # an update of the largest rows takes more than the usual 20
SNAKEMAKE = ["snakemake", "--profile", "workflow/profiles/local", "--cores", "1", "--config", f"scale={SCALE}", "--"]
COLUMNS = ("row", "network", "input", "first loss", "in theory", "GB", "planned", "seconds", "warnings")
CLASSIFIES = ("finetune", "attentive", "linear_probe")
HEAD = """# Every kind of row at its real size

Two updates of two images (tiles of the demo's imagery) in float32 on one CPU core, made by `make test-real-size`: a
test that every kind of row runs. The losses are those of the first batch; nothing here says how good a model is.

`GB` is the most memory that a process of the job held, where what is freed is given back at once (the workflow's
own jobs keep it, which is faster); `planned` is what `simmim plan` says for the same job in float32 and {libraries} GB
of libraries. k-NN is planned for whole batches of images, which the few of this scale do not fill. `seconds` are
those of the whole job, without a first stage. Where theory says where a loss starts, it stands beside it: 1 for the
l1 loss of normalised pixels, the logarithm of the number of classes for a classification.

"""


def kinds(jobs: Jobs, prefix: str) -> Iterator[Job]:
    """Every pre-training of the scale, and of the evaluations those that build different things."""
    for run in jobs.sheets.runs(SCALE):
        if run.startswith(prefix):
            yield jobs.job("pretrain", scale=SCALE, run=run, seed=0)
    seen = set()
    for run, evaluation in jobs.sheets.evaluations(SCALE):
        try:
            job = jobs.job(jobs.kind_of(evaluation), scale=SCALE, run=run, evaluation=evaluation)
        except DoesNotFit:
            continue
        kind = json.dumps(_what_is_built(jobs, job))
        if run.startswith(prefix) and kind not in seen:
            seen.add(kind)
            yield job


def _what_is_built(jobs: Jobs, job: Job) -> list[Any]:
    config, pretraining = job.config.as_json(), jobs.sheets.pretraining(SCALE, job.wildcards["run"])
    return [pretraining.encoder.model_dump(mode="json"), *(config[part] for part in ("task", "encoder", "settings"))]


def theory(job: Job) -> str:
    """Where the first loss should be: a network that knows nothing does no better than a guess."""
    config = job.config.as_json()
    if "task" in config:
        if config["task"] not in CLASSIFIES:
            return ""
        index = Path(job.inputs["data"][0])
        return _logarithm(len(json.loads(index.read_text(encoding="utf-8"))["classes"])) if index.is_file() else ""
    if config["method"]["name"] != "simmim":
        return ""
    if config["loss"]["name"] == "cross_entropy":
        codes = (config["tokenizer"] or {"kind": {}})["kind"]
        return _logarithm(config["target"].get("bins") or codes.get("clusters") or codes["vocabulary"])
    return "1" if config["loss"]["name"] == "l1" and config["target"]["name"] == "pixels" else ""


def _logarithm(classes: int) -> str:
    return f"ln {classes} = {math.log(classes):.2f}"


def line(job: Job, jobs: Jobs, planned_bytes: float | None) -> list[str]:
    """Cells of a job; those of one that has not run are empty."""
    run, config = job.wildcards["run"], job.config.as_json()
    is_evaluation = "task" in config
    px = config["settings"]["image_px"] if is_evaluation else config["geometry"]["image_px"][0]
    name = f"{run}/{job.wildcards['evaluation']}" if is_evaluation else run
    cells = [name, jobs.sheets.pretraining(SCALE, run).encoder.name, f"{px} px"]
    planned = "" if planned_bytes is None else f"{LIBRARIES + planned_bytes / 1e9:.1f}"
    if not job.output("records").is_file():
        return [*cells, "not run", theory(job), "", planned, "", ""]
    return [*cells, _first_loss(job), theory(job), _peak(job), planned, *_seconds_and_warnings(job)]


def _first_loss(job: Job) -> str:
    frame = records.read([job.output("records")])
    losses = frame[frame["metric"].isin(["loss", "train_loss"])].sort_values("step")["value"]
    return f"{losses.iloc[0]:.3f}" if len(losses) else ""


def _peak(job: Job) -> str:
    return f"{records.metadata(job.output('records'))['peak_bytes'] / 1e9:.1f}"


def _seconds_and_warnings(job: Job) -> tuple[str, str]:
    folder, end = ("evaluate", job.wildcards["evaluation"]) if "evaluation" in job.wildcards else ("pretrain", "seed0")
    name = f"{job.wildcards['run']}_{end}"
    seconds = pd.read_csv(LOGS / "benchmarks" / f"{folder}_{name}.tsv", sep="\t")["s"].iloc[0]
    log = (LOGS / folder / f"{name}.log").read_text(encoding="utf-8")
    return f"{seconds:.0f}", "; ".join(sorted(set(re.findall(r"\w*Warning: [^\n|]{0,70}", log))))


def planned(wanted: list[Job], jobs: Jobs) -> dict[tuple[str, str], float | None]:
    """Bytes that `simmim plan` says, by run and evaluation."""
    files = [str(job.output("records")) for job in wanted]
    rows = rows_of(groups_of(files, jobs), {}, Costs(jobs, SCALE, machine("V100", 0.35, 1)))
    return {(row["run"], row["evaluation"] or ""): row["memory_bytes"] for row in rows}


def write_page(jobs: Jobs, wanted: list[Job]) -> None:
    """The table, as far as it has been measured."""
    memory = planned(wanted, jobs)
    rows = [line(job, jobs, memory[job.wildcards["run"], job.wildcards.get("evaluation", "")]) for job in wanted]
    cells = [COLUMNS, ["---"] * len(COLUMNS), *rows]
    table = "\n".join(f"| {' | '.join(row)} |" for row in cells)
    write_text(PAGE, HEAD.format(libraries=LIBRARIES) + table + "\n\n" + _summary(rows))


def _summary(rows: list[list[str]]) -> str:
    """How many rows ran, and which ones held more or less than planned by over a fifth."""
    ran = [row for row in rows if row[3] != "not run"]
    memory = {row[0]: (float(row[5]), float(row[6])) for row in ran if row[6]}
    far = [name for name, (held, planned) in memory.items() if abs(held - planned) > FIFTH * planned]
    far_off = f"; others: {', '.join(f'`{name}`' for name in far)}" if far else ""
    within = f"{len(memory) - len(far)} of {len(memory)} held within a fifth of what was planned"
    return f"{len(ran)} of {len(rows)} rows ran; {within}{far_off}.\n"


def main() -> int:
    jobs = Jobs(Sheets(ROOT / "config"))
    wanted = list(kinds(jobs, "".join(sys.argv[1:])))
    failed = 0
    try:
        for job in wanted:
            if not job.output("records").is_file():
                command = [*SNAKEMAKE, str(job.output("records"))]
                failed += subprocess.run(command, cwd=ROOT, env=os.environ | GIVE_BACK | PATIENT).returncode != 0
    finally:
        write_page(jobs, list(kinds(jobs, "")))
    print(f"{len(wanted) - failed} of {len(wanted)} rows ran; {PAGE}")
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
