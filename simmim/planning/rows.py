"""A plan as rows, and as the Parquet file that holds them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow as pa

from simmim.planning.cost import CHECKPOINTS, Cost, Costs
from simmim.planning.jobs import EVALUATE, PRETRAIN, JobGroup
from simmim.planning.saving import saving
from simmim.plugin import NotInstalled
from simmim.storage.parquet import write_parquet

DataSet = tuple[str, str]  # name and split
DATA = "data"
TO_DO, DONE, CANNOT_BE = "to do", "done", "cannot be"
# Numbers stand for the seeds that are to do, or for all of a finished row; null where the data, not here yet, decide.
SCHEMA = pa.schema(
    [
        pa.field("kind", pa.string(), metadata={"is": "data, tokenizer, first_stage, pretrain, features, evaluate"}),
        pa.field("run", pa.string(), metadata={"is": "row of pretrain.tsv; for data, the data set"}),
        pa.field(
            "evaluation",
            pa.string(),
            metadata={"is": "row of evaluate.tsv; for data, the split; features: name"},
        ),
        pa.field("state", pa.string(), metadata={"is": "to do, done, or cannot be"}),
        pa.field("reason", pa.string(), metadata={"is": "why it cannot be"}),
        pa.field("seeds", pa.int64(), metadata={"is": "trainings in all"}),
        pa.field("seeds_to_do", pa.int64(), metadata={"is": "trainings that are not finished"}),
        pa.field("images", pa.int64(), metadata={"is": "seen in training; for data, in the set"}),
        pa.field("parameters", pa.int64(), metadata={"is": "of the trained network"}),
        pa.field("flops", pa.float64(), metadata={"is": "training and scoring, a multiply-add being two"}),
        pa.field("gpu_hours", pa.float64(), metadata={"is": "hours of one GPU (estimate)"}),
        pa.field("memory_bytes", pa.float64(), metadata={"is": "on each GPU (estimate)"}),
        pa.field("fitting_micro_batch", pa.int64(), metadata={"is": "images at once that fit (estimate); 0: none"}),
        pa.field("disk_bytes", pa.float64(), metadata={"is": "what stays, features until they are read (estimate)"}),
        pa.field("checkpoint_bytes", pa.float64(), metadata={"is": "beside it while the job runs (estimate)"}),
        pa.field("step_seconds", pa.float64(), metadata={"is": "of an update on all GPUs of a job (estimate)"}),
        pa.field("save_seconds", pa.float64(), metadata={"is": "of one checkpoint (estimate)"}),
        pa.field("save_every_seconds", pa.float64(), metadata={"is": "between saves, with these settings (estimate)"}),
        pa.field("young_daly_seconds", pa.float64(), metadata={"is": "between saves where least is lost (estimate)"}),
        pa.field("save_share", pa.float64(), metadata={"is": "of the time, that goes into saving (estimate)"}),
        pa.field("ettr", pa.float64(), metadata={"is": "expected share of effective training time (estimate)"}),
        pa.field("config_hash", pa.string(), metadata={"is": "of the completed config"}),
    ]
)


def name_of(row: Mapping[str, Any]) -> str:
    """`run`, or `run/evaluation`."""
    return "/".join(filter(None, (row["run"], row["evaluation"])))


def titled(row: Mapping[str, Any]) -> str:
    """`run (pretrain)`, `run/evaluation (evaluate)`."""
    return f"{name_of(row)} ({row['kind'].replace('_', ' ')})"


def rows_of(groups: Sequence[JobGroup], misfits: Mapping[str, str], costs: Costs) -> list[dict[str, Any]]:
    """One row per data set, group of jobs and unsupported row, in this order, with every column of `SCHEMA`."""
    rows = [*_data_rows(groups, costs), *(_row(group, costs) for group in groups)]
    for name, reason in misfits.items():
        run, _, evaluation = name.partition("/")
        kind = EVALUATE if evaluation else PRETRAIN
        rows.append({"kind": kind, "run": run, "evaluation": evaluation, "state": CANNOT_BE, "reason": reason})
    return pa.Table.from_pylist(rows, schema=SCHEMA).to_pylist()


def write(path: Path, rows: Sequence[Mapping[str, Any]], **metadata: Any) -> None:
    """Write the rows as Parquet, whole or not at all; the metadata of its field says what a column is."""
    header = {key: json.dumps(value) for key, value in metadata.items()}
    table = pa.Table.from_pylist([dict(row) for row in rows], schema=SCHEMA.with_metadata(header))
    write_parquet(path, table)


def _data_rows(groups: Sequence[JobGroup], costs: Costs) -> Iterator[dict[str, Any]]:
    """Every data set that the jobs read; to pack only where a job to do needs it."""
    needed: dict[DataSet, bool] = {}
    for group in groups:
        for data in group.config.data.values():
            key = data.dataset, data.split
            needed[key] = needed.get(key, False) or group.seeds_to_do > 0
    for (dataset, split), is_needed in needed.items():
        size = costs.size(dataset, split)
        if size.packed or is_needed:
            row = {"kind": DATA, "run": dataset, "evaluation": split, "state": DONE if size.packed else TO_DO}
            yield row | {"images": size.samples, "disk_bytes": size.shard_bytes}


def _row(group: JobGroup, costs: Costs) -> dict[str, Any]:
    row = {"kind": group.kind, "run": group.run, "evaluation": group.evaluation, "seeds": group.seeds}
    try:
        cost = costs.of(group)
    except NotInstalled as reason:
        return row | {"state": CANNOT_BE, "reason": str(reason)}
    row |= {"state": TO_DO if group.seeds_to_do else DONE, "seeds_to_do": group.seeds_to_do}
    hours = costs.gpu_hours(cost.flops)
    row |= asdict(cost) | {"gpu_hours": hours, "config_hash": group.config.hash}
    return row | _saves(group, cost, hours, costs.machine.gpus)


def _saves(group: JobGroup, cost: Cost, gpu_hours: float | None, gpus: int) -> dict[str, float]:
    """What saving costs a training; nothing of what trains nothing, or of which the number of images is not known."""
    if not (cost.checkpoint_bytes and cost.images and gpu_hours):
        return {}
    train = group.config.train
    steps = cost.images / train.batch  # of all seeds
    step_seconds = 3600 * gpu_hours / gpus / steps
    seeds = group.seeds_to_do or group.seeds
    return asdict(saving(cost.checkpoint_bytes / CHECKPOINTS, train, step_seconds, steps / seeds, gpus))
