"""The result files that a table or a figure is made from, each kind read when it is asked for."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pandas as pd
import pyarrow.parquet as pq

from simmim.report.data_card import read_card
from simmim.report.pretrainings import pretraining_of
from simmim.report.status import NothingToDraw
from simmim.storage import records
from simmim.storage.parquet import read_sealed
from simmim.storage.reading import reading

if TYPE_CHECKING:
    from simmim.report.scale_facts import ScaleFacts


class DataCard(NamedTuple):
    """What the package wrote about data that it made, and the file it stands in."""

    content: dict[str, Any]
    source: str


class Results:
    """Result files of one scale.

    Args:
        files: Parquet files of records or of pictures, and the data card, which is JSON.
        facts: those of the scale.

    Raises:
        ValueError: on reading a file of another scale.
    """

    def __init__(self, files: Iterable[Path | str], facts: ScaleFacts) -> None:
        self._files, self._facts = [Path(file) for file in files], facts

    @functools.cached_property
    def records(self) -> pd.DataFrame:
        """Every record but those of extra validation sets, with its file in `source`, `pretraining` and `device`."""
        return self._all_records[~self._all_records["dataset"].isin(self._facts.extra_sets)]

    @property
    def extra_records(self) -> pd.DataFrame:
        """The records of extra validation sets, which `dataset` names."""
        return self._all_records[self._all_records["dataset"].isin(self._facts.extra_sets)]

    @functools.cached_property
    def _all_records(self) -> pd.DataFrame:
        frame = records.read(file for file in self._tables() if not _holds_pictures(file))
        self._check(frame)
        devices = {source: records.device(source) for source in frame["source"].unique()}
        pretrainings = pretraining_of(frame, self._facts.pretrainings)
        return frame.assign(pretraining=pretrainings, device=frame["source"].map(devices))

    @functools.cached_property
    def pictures(self) -> pd.DataFrame:
        """Every stored picture: reconstructions or images under masks, with PNG bytes in their columns.

        Raises:
            NothingToDraw: where there is none.
        """
        frames = [_pictures(file) for file in self._tables() if _holds_pictures(file)]
        if not any(map(len, frames)):
            raise NothingToDraw("No picture was stored")
        frame = pd.concat(frames, ignore_index=True)
        self._check(frame)
        return frame

    @functools.cached_property
    def data_card(self) -> DataCard | None:
        """The data card, None where the data are not made by the package."""
        cards = [file for file in self._files if file.suffix == ".json"]
        return DataCard(read_card(cards[0]), str(cards[0])) if cards else None

    def _tables(self) -> list[Path]:
        return [file for file in self._files if file.suffix == ".parquet"]

    def _check(self, frame: pd.DataFrame) -> None:
        other = frame[frame["scale"] != self._facts.scale]
        if len(other):
            source, scale = other[["source", "scale"]].iloc[0]
            raise ValueError(f"{source} holds results of scale '{scale}' in a report of scale '{self._facts.scale}'")


def _pictures(file: Path) -> pd.DataFrame:
    frame = read_sealed(file).to_pandas().assign(source=str(file))
    if "prediction" in frame and "region" not in frame:
        advice = "bring its scale up to date with `simmim migrate`"
        raise ValueError(f"{file} was written by an earlier version and does not say what its masks hide; {advice}")
    return frame


def _holds_pictures(file: Path) -> bool:
    with reading(file, "a Parquet file", "remove it, so that it is made again"):
        return "image" in pq.read_schema(file).names
