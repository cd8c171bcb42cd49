"""Packing that was ended anywhere goes on behind its finished shards, and any number of processes writes the same."""

import io
import json
import multiprocessing
import os
import resource
import select
import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from simmim import machine, stopping
from simmim.data import journal, outcomes, packing, shard_files, workers
from simmim.data.journal import JOURNAL, Journal
from simmim.data.packing import pack
from simmim.data.samples import RawSample
from simmim.data.shards import Shards
from simmim.storage.files import sha256_bytes

STOPPED, REFUSED = stopping.EXIT_RUN_AGAIN, 2
KILLED = -signal.SIGKILL


def png(seed, side=12):
    content = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (side, side, 3), np.uint8)).save(content, "PNG")
    return content.getvalue()


class Given:
    """Samples made by hand, some of them broken or odd; calls `at[n]` before the n-th."""

    def __init__(self, count=23, at=None, side=lambda number: 12):
        self._made = [RawSample(f"{n}.png", png(n, side(n)), n % 3, origin=f"/from/{n}.png") for n in range(count)]
        for number in (2, 7, 8, count - 1):
            self._made[number] = RawSample(f"{number}.png", b"", fault="file is missing")
        self._made[5] = RawSample("5.jpg", png(5), 2, origin="/from/5.jpg")
        self._at = at or {}

    def classes(self):
        return ["cat", "dog", "owl"]

    def fingerprint(self):
        return sha256_bytes(repr(self._made).encode())

    def samples(self) -> Iterator[RawSample]:
        for number, sample in enumerate(self._made):
            self._at.get(number, int)()
            yield sample


def packed(folder, source=None, **options):
    settings = {"codec": "original", "shard_samples": 4, "short_side_px": None, "max_quarantined_share": 0.5}
    pack(source or Given(), folder, **settings | options)
    return folder


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def shard_states(folder):
    return {path.name: (path.stat().st_ino, path.stat().st_mtime_ns) for path in folder.glob("shard-*.parquet")}


def finished(folder):
    """Files of the shards that the journal counts as finished."""
    text = (folder / JOURNAL).read_text() if (folder / JOURNAL).is_file() else '\n{"shards": []}'
    return [shard["file"] for shard in json.loads(text.partition("\n")[2])["shards"]]


def ends(action, within_seconds=60):
    """How a process ends in which `action` runs as a verb does, with signals heeded."""

    def run():
        os.setpgid(0, 0)
        try:
            with stopping.heeded():
                action()
        except stopping.Stopped:
            os._exit(STOPPED)
        except ValueError as error:
            print(error, flush=True)
            os._exit(REFUSED)

    process = multiprocessing.get_context("fork").Process(target=run)
    process.start()
    process.join(within_seconds)
    assert process.exitcode is not None, "it hangs"
    return process.exitcode


def kill():
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.fixture(autouse=True)
def small_steps(monkeypatch):
    monkeypatch.setattr(packing, "_CHUNK", 2)
    monkeypatch.setattr(shard_files, "_ROW_GROUP", 3)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shard_files, "_ROW_GROUP", 3)
        return contents(packed(tmp_path_factory.mktemp("undisturbed") / "set"))


@pytest.mark.parametrize("processes", [2, 3])
def test_any_number_of_processes_writes_the_same_files(tmp_path, undisturbed, processes):
    assert contents(packed(tmp_path / "set", processes=processes)) == undisturbed
    assert len([name for name in undisturbed if name.startswith("shard-")]) == 5


MOMENTS = {
    "before the first sample": lambda patch: Given(at={0: kill}),
    "in the second shard": lambda patch: Given(at={8: kill}),
    "in the last shard": lambda patch: Given(at={22: kill}),
    "before a shard is in the journal": lambda patch: killed_at(patch, journal, "write_text", 2),
    "in the journal's draft": lambda patch: killed_at(patch, os, "replace", 4),
    "before the samples are written": lambda patch: killed_at(patch, packing, "write_parquet", 2),
    "before the index": lambda patch: killed_at(patch, packing, "write_text", 1),
    "behind the index": lambda patch: killed_at(patch, packing, "say_missing", 1),
}


def killed_at(patch, module, name, call):
    """Let the n-th call of a function kill its process."""
    calls, real = iter(range(1, 10**6)), getattr(module, name)
    patch.setattr(module, name, lambda *given: kill() if next(calls) == call else real(*given))
    return Given()


@pytest.mark.parametrize("processes", [1, 2])
@pytest.mark.parametrize("moment", MOMENTS)
def test_killed_anywhere_it_goes_on_with_the_finished_shards(tmp_path, undisturbed, moment, processes):
    folder = tmp_path / "set"
    with pytest.MonkeyPatch.context() as patch:
        source = MOMENTS[moment](patch)
        assert ends(lambda: packed(folder, source, processes=processes)) == KILLED
    if moment != "behind the index":
        with pytest.raises(ValueError, match="has no index"):
            Shards(folder)
    kept = finished(folder) if folder.is_dir() else []
    before = shard_states(folder) if kept else {}
    packed(folder, processes=processes)
    assert contents(folder) == undisturbed
    assert {name: shard_states(folder)[name] for name in kept} == {name: before[name] for name in kept}
    least = {"in the last shard": 3 if processes == 1 else 1, "before the index": 5, "behind the index": 5}
    assert len(kept) >= least.get(moment, 0)


def test_no_process_outlives_its_parent(tmp_path):
    here, there = os.pipe()
    os.set_inheritable(there, True)
    assert ends(lambda: packed(tmp_path / "set", Given(at={14: kill}), processes=3)) == KILLED
    os.close(there)
    assert select.select([here], [], [], 20)[0] and os.read(here, 1) == b""  # the last holder of the other end is gone
    os.close(here)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
@pytest.mark.parametrize("processes", [1, 2])
def test_a_signal_stops_it_and_the_same_call_goes_on(tmp_path, undisturbed, processes, number):
    folder = tmp_path / "set"
    source = Given(at={17: lambda: os.killpg(0, number)})  # as Slurm does, to all processes of the job
    assert ends(lambda: packed(folder, source, processes=processes)) == STOPPED
    kept, before = finished(folder), shard_states(folder)
    assert len(kept) >= 2 and not list(folder.glob(".*"))
    assert contents(packed(folder, processes=processes)) == undisturbed
    assert {name: shard_states(folder)[name] for name in kept} == {name: before[name] for name in kept}


def test_it_stops_while_it_waits_for_a_process(tmp_path, monkeypatch):
    def hang(*given, **options):
        os.kill(os.getppid(), signal.SIGTERM)
        signal.pause()

    monkeypatch.setattr(outcomes, "normalise", hang)
    assert ends(lambda: packed(tmp_path / "set", processes=2), within_seconds=20) == STOPPED


def test_a_finished_set_is_not_decoded_again(tmp_path, undisturbed, monkeypatch, capsys):
    """As when its job is begun again after its last second: Snakemake has removed the index."""
    folder = packed(tmp_path / "set")
    (folder / "index.json").unlink()
    before = shard_states(folder)
    monkeypatch.setattr(outcomes, "normalise", None)
    assert contents(packed(folder)) == undisturbed and shard_states(folder) == before
    assert "5 finished shards kept" in capsys.readouterr().out


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("processes", [1, 2])
@pytest.mark.parametrize("damage", [flip, lambda path: path.unlink(), lambda path: os.truncate(path, 9)])
def test_a_damaged_shard_alone_is_made_again(tmp_path, undisturbed, damage, processes, capsys):
    folder = packed(tmp_path / "set")
    damage(folder / "shard-00001.parquet")
    before = shard_states(folder)
    assert contents(packed(folder, processes=processes)) == undisturbed
    after = shard_states(folder)
    assert [name for name in after if after[name] != before.get(name)] == ["shard-00001.parquet"]
    assert "shard-00001.parquet missing or damaged" in capsys.readouterr().out


def test_every_bit_of_the_journal_counts(tmp_path, undisturbed, capsys):
    folder = packed(tmp_path / "set")
    for place in range(0, len(undisturbed[JOURNAL]), 97):
        content = bytearray(undisturbed[JOURNAL])
        content[place] ^= 1 << place % 7
        (folder / JOURNAL).write_bytes(content)
        found = Journal(folder, {})
        found.read()
        assert found.entries() == [] and "journal.json is damaged" in capsys.readouterr().out
    assert contents(packed(folder)) == undisturbed


@pytest.mark.parametrize(
    ("changed", "name"),
    [
        ({"source": Given(24)}, "files of the source"),
        ({"codec": "png"}, "codec"),
        ({"codec": "png", "short_side_px": 8}, "codec, short_side_px"),
        ({"shard_samples": 3}, "shard_samples"),
    ],
)
def test_another_source_or_setting_discards_what_is_finished(tmp_path, changed, name, capsys):
    folder = packed(tmp_path / "set")
    packed(folder, **changed)
    assert f"finished shards are discarded (5), since this has changed: {name}" in capsys.readouterr().out
    assert contents(folder) == contents(packed(tmp_path / "anew", **changed))


def test_another_version_of_a_library_discards_what_is_finished(tmp_path, monkeypatch, capsys):
    folder = packed(tmp_path / "set")
    monkeypatch.setattr(packing.PIL, "__version__", "0.1")
    packed(folder)
    assert "has changed: version of Pillow" in capsys.readouterr().out


def test_a_killed_process_ends_the_job_in_one_sentence(tmp_path, undisturbed, capfd):
    folder, real = tmp_path / "set", outcomes.normalise

    def killed(content, name, **options):
        if name == "/from/18.png":
            kill()
        return real(content, name, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(outcomes, "normalise", killed)
        assert ends(lambda: packed(folder, processes=2), within_seconds=20) == REFUSED
    assert "a process of this job ended with signal SIGKILL; finished shards stay" in capfd.readouterr().out
    assert len(finished(folder)) >= 2 and not list(folder.glob(".*"))
    assert contents(packed(folder)) == undisturbed


def test_a_process_that_does_not_answer_ends_the_job(tmp_path, monkeypatch):
    monkeypatch.setattr(outcomes, "normalise", lambda *_, **__: os.kill(os.getpid(), signal.SIGSTOP))
    monkeypatch.setattr(workers, "_PATIENCE_SECONDS", 1)
    with pytest.raises(ValueError, match="has not answered for 1 seconds; finished shards stay"):
        packed(tmp_path / "set", processes=2)


@pytest.mark.parametrize("processes", [1, 2])
def test_a_full_disk_names_the_file_and_keeps_what_is_finished(tmp_path, processes, capfd):
    def growing(number):
        return 12 if number < 14 else 90

    def full():
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
        packed(folder, Given(side=growing), processes=processes)

    folder = tmp_path / "set"
    assert ends(full) == REFUSED
    assert (
        f"{folder}/shard-00002.parquet: File too large" in (said := capfd.readouterr().out)
        and "finished shards stay" in said
    )
    assert len(finished(folder)) == 2 and not list(folder.glob(".*"))
    before = shard_states(folder)
    again = packed(folder, Given(side=growing))
    assert contents(again) == contents(packed(tmp_path / "anew", Given(side=growing)))
    assert before.items() <= shard_states(folder).items()


def test_a_folder_that_cannot_be_written_is_named(tmp_path, monkeypatch):
    folder = packed(tmp_path / "set")

    def refused(path, *given, **options):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(type(folder), "unlink", refused)
    with pytest.raises(ValueError, match=f"{folder}/index.json: Permission denied; finished shards stay"):
        packed(folder)


def signalled(item):
    for number in stopping.SIGNALS:
        os.kill(os.getpid(), number)
    return item, os.getpid()


def test_processes_leave_signals_to_their_parent():
    with workers.workers(2, "") as team:
        answers = list(team.map(signalled, range(9)))
    assert [item for item, _ in answers] == [*range(9)] and os.getpid() not in {process for _, process in answers}


def test_as_many_processes_as_the_job_has_cpus(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {3, 5, 9}, raising=False)
    assert machine.cpus() == 3


class Files(Given):
    """The same images in files below a folder."""

    def __init__(self, folder):
        self._made = [RawSample(f"{n}.png", folder / f"{n}.png", n % 3, origin=f"{folder}/{n}.png") for n in range(23)]
        self._at = {}
        folder.mkdir()
        for n, sample in enumerate(self._made):
            sample.image.write_bytes(png(n))


def locked(patch, *names):
    """Let the system refuse to read these files; as root, permissions alone would not."""
    real = Path.read_bytes

    def refused(path):
        if path.name in names:
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    patch.setattr(Path, "read_bytes", refused)


@pytest.mark.parametrize("share", [0.1, 0.5])
def test_what_can_be_read_again_is_packed(tmp_path, share, capsys):
    """Permissions and file servers are in no fingerprint: its shards would be kept without these images for good."""
    source, folder = Files(tmp_path / "files"), tmp_path / "set"
    with pytest.MonkeyPatch.context() as patch:
        locked(patch, "9.png", "10.png", "15.png")
        if share == 0.1:
            with pytest.raises(ValueError, match=r"3 of 23 samples are unusable.*'9.png': cannot be read: Permission"):
                packed(folder, source, max_quarantined_share=share)
        else:
            packed(folder, source, max_quarantined_share=share)
            before = shard_states(folder)
            packed(folder, source, max_quarantined_share=share)
            assert shard_states(folder) == before, "what is still locked is no reason to decode all again"
    before = shard_states(folder)
    packed(folder, source, max_quarantined_share=share)
    assert len(Shards(folder)) == 23 and contents(folder) == contents(packed(tmp_path / "anew", source))
    same = {name for name, state in shard_states(folder).items() if state == before.get(name)}
    assert same == {"shard-00000.parquet", "shard-00001.parquet"}
    again = "made again from shard-00002.parquet on, to see if '9.png' is mended (cannot be read: Permission denied)"
    assert again in capsys.readouterr().out


@pytest.mark.parametrize(
    ("reason", "again"),
    [
        ("reading it needs the package tifffile: pip install 'simmim[bands]'", True),
        ("label map cannot be read: Stale file handle", True),
        ("cannot be read: Permission denied", True),
        ("file is missing", False),
        ("broken: OSError: image file is truncated", False),
    ],
)
def test_what_may_be_mended_without_a_trace(tmp_path, reason, again):
    (tmp_path / "1.tif").write_bytes(b"")
    assert outcomes.may_be_mended({"source": f"{tmp_path}/1.tif", "reason": reason}) == again


@pytest.mark.parametrize("processes", [1, 2])
def test_short_memory_is_no_broken_image(tmp_path, monkeypatch, processes, capfd):
    monkeypatch.setattr("simmim.data.decode._to_8_bit", lambda *_: (_ for _ in ()).throw(MemoryError()))
    assert ends(lambda: packed(tmp_path / "set", processes=processes), within_seconds=20) == REFUSED
    said = capfd.readouterr()
    assert "with more memory or fewer processes" in said.out and "Traceback" not in said.err
