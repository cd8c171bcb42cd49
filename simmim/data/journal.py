"""Which shards of a folder are finished, and what they were made from: so packing goes on where it was ended.

    journal.json    line 1: SHA-256 of the rest; then what the shards are made from, and an entry for each

It stays when the set is whole: a job that is begun again after its last shard has nothing to decode.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from simmim.data.outcomes import may_be_mended
from simmim.storage.files import sha256_bytes, write_text

JOURNAL = "journal.json"


@dataclass(frozen=True)
class Finished:
    """A shard that is whole and on disk.

    Args:
        begin: the first sample of the source that belongs to it, counted from 0.
        end: the one behind its last; samples that could not be used count too.
        file: its name; with `sha256`, `rows` and `bytes` its entry in the index.
        incidents: what was left out or corrected between the two, as rows of the table of incidents.
    """

    number: int
    begin: int
    end: int
    file: str
    rows: int
    sha256: str = ""
    bytes: int = 0
    incidents: list[dict[str, str]] = field(default_factory=list)

    @property
    def index_entry(self) -> dict[str, Any]:
        """What the index says about it."""
        return {name: getattr(self, name) for name in ("file", "sha256", "rows", "bytes")}


class Journal:
    """The finished shards of a folder.

    Args:
        made_from: source and settings, JSON values by what they are; shards of another are not taken over.
    """

    def __init__(self, folder: Path, made_from: Mapping[str, Any]) -> None:
        self._path, self.made_from = folder / JOURNAL, json.loads(json.dumps(made_from))
        self.shards: dict[int, Finished] = {}

    def read(self) -> None:
        """Take over what an earlier call has finished; print why, where that cannot be used."""
        if not self._path.is_file():
            return
        digest, _, text = self._path.read_bytes().partition(b"\n")
        if digest.decode("ascii", "replace") != sha256_bytes(text):
            print(f"{self._path} is damaged; all shards are made again")
            return
        found = json.loads(text)
        before = found["made_from"]
        names = dict.fromkeys([*self.made_from, *before])
        if changed := [name for name in names if before.get(name) != self.made_from.get(name)]:
            number, what = len(found["shards"]), ", ".join(changed)
            print(f"{self._path.parent}: finished shards are discarded ({number}), since this has changed: {what}")
            return
        self.shards = {shard["number"]: Finished(**shard) for shard in found["shards"]}
        self._forget_mended()

    def entries(self) -> list[Finished]:
        """The shards in their order."""
        return [self.shards[number] for number in sorted(self.shards)]

    def keep(self, numbers: Mapping[int, Any]) -> None:
        """Forget all shards but these."""
        self.shards = {number: shard for number, shard in self.shards.items() if number in numbers}

    def _forget_mended(self) -> None:
        """Forget the first shard that may lack no image any more, and all behind it, which would begin elsewhere."""
        shards = self.entries()
        for n, shard in enumerate(shards):
            if mended := next(filter(may_be_mended, shard.incidents), None):
                what = f"from {shard.file} on, to see if {mended['sample_id']!r} is mended ({mended['reason']})"
                print(f"{self._path.parent}: finished shards are made again {what}")
                return self.keep({each.number: each for each in shards[:n]})

    def add(self, shard: Finished) -> None:
        """Count a shard, which lies on disk by now, as finished."""
        self.shards[shard.number] = shard
        shards = [dataclasses.asdict(each) for each in self.entries()]
        text = json.dumps({"made_from": self.made_from, "shards": shards}, indent=0)
        write_text(self._path, f"{sha256_bytes(text.encode())}\n{text}")
