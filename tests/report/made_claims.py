"""Made-up results for claims: pre-trainings by (run, evaluation, metric), and the lines that claims make of them."""

from __future__ import annotations

import dataclasses

import pandas as pd
from made_up import FACTS, SCALE

from simmim.config.claims import claim_of
from simmim.report.measurements import Measurement
from simmim.report.tables import claims

ONE = "undecided (one pre-training)"


@dataclasses.dataclass
class Made:
    """(run, evaluation, metric) to one value per pre-training; looked up without a frame of them all."""

    values: dict[tuple[str, str, str], list[float]]
    devices: dict[str, str] = dataclasses.field(default_factory=dict)  # of runs that another CPU trained

    def best(self, run: str, evaluations: str, metric: str) -> Measurement | None:
        found = [key for name in evaluations.split() if (key := (run, name, metric)) in self.values]
        return Measurement(self.rows(max(found, key=lambda key: sum(self.values[key])))) if found else None

    def rows(self, *keys: tuple[str, str, str]) -> pd.DataFrame:
        named = {"part": "", "step": 1, "config_hash": "c", "data_digest": "d", "source": "s"}
        return pd.DataFrame(
            [
                dict(zip(("run", "evaluation", "metric"), key), seed=seed, pretraining=seed, value=value, **named)
                | {"device": self.devices.get(key[0], "a CPU")}
                for key in keys
                for seed, value in enumerate(self.values[key])
            ]
        )

    @property
    def records(self) -> pd.DataFrame:
        return self.rows(*self.values)


def lines_of(*claim_rows, values: dict, **more) -> list[dict]:
    """The cells of the lines of claims about fine-tunings."""
    facts = dataclasses.replace(FACTS, claims=tuple(claim_of(row, SCALE) for row in claim_rows), **more)
    made = Made({(run, "finetune", "top1"): seeds for run, seeds in values.items()})
    return [line.cells for line in claims.make(made, facts).lines]


def only(claim_row, values: dict, **more) -> dict:
    """The cells of the line of one claim."""
    (cells,) = lines_of(claim_row, values=values, **more)
    return cells
