"""Whether a job is done already, and the one process that may do it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from simmim.config.differences import refuse_changed
from simmim.data.index import read_index
from simmim.storage import finished, records
from simmim.storage.identity import Identity
from simmim.storage.lease import lease
from simmim.storage.reading import refuse_folder

if TYPE_CHECKING:
    from simmim.train.processes import Processes


@contextmanager
def worker(
    state: Path, outputs: Mapping[str, str], identity: Callable[[], Identity], processes: Processes
) -> Iterator[None]:
    """Be the one who works in `state`, once what an earlier try of this had finished is brought back."""
    from simmim.train.processes import wait_for_all

    if not processes.is_main_process:
        wait_for_all()
        yield
        return
    with lease(state):
        finished.bring_back(state, map(Path, outputs.values()), identity())
        wait_for_all()
        yield


def is_finished(outputs: Mapping[str, str], identity: Identity) -> bool:
    """Whether the outputs are there, whole, and belong to this; those of something else are never overwritten."""
    for role in outputs.keys() - {"encoders"}:
        refuse_folder(outputs[role])
    out = Path(outputs["records"])
    if not out.is_file():
        return False
    about = records.metadata(out)
    refuse_changed(out, about, identity, remove=out)
    if not all(Path(file).exists() for file in outputs.values()) or not _are_left(outputs, about.get("left", {})):
        return False
    print(f"{out} is finished, nothing to do")
    return True


def _are_left(outputs: Mapping[str, str], left: Mapping[str, Any]) -> bool:
    """Whether models have the digests that the records name; those of earlier versions name none.

    A head's file says of which encoder it is, and so is read as one.
    """
    from simmim.storage import model_file

    folder = outputs.get("encoders")
    files = {name: Path(folder, f"{name}.safetensors") if folder else Path(outputs[name]) for name in left}
    return all(
        file.is_file() and model_file.verified_digest(file, "encoder") == left[name] for name, file in files.items()
    )


def digests_of(data: Mapping[str, Path]) -> dict[str, str]:
    """Digests of packed sets by split."""
    return {split: read_index(folder)["digest"] for split, folder in data.items()}
