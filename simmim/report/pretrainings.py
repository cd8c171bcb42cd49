"""Which pre-training stands behind a record: what claims count, since more evaluations of one are no more of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd


def pretraining_of(frame: pd.DataFrame, counts: Mapping[str, int]) -> pd.Series:
    """The seed of the pre-training behind every record.

    Seed s of an evaluation starts from encoder s modulo their number, so the lowest seed among the records that share
    an `encoder_digest` is that encoder's number. Where these encoders were left by a fine-tuning, and in records that
    keep no digest, the same rule leads on to the pre-training: modulo the run's number of them.

    Args:
        frame: records.
        counts: run to its number of pre-trainings; another run counts as one, so that no n is taken for granted.
    """
    digests = frame["encoder_digest"]
    encoder = digests.where(digests != "", frame["seed"].astype(str))
    number = frame.groupby(["run", "evaluation", encoder])["seed"].transform("min")
    return number % frame["run"].map(lambda run: counts.get(run, 1)).astype("int64")
