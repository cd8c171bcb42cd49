"""Files are written whole or not at all, flushed, and with the mode that the umask gives."""

import hashlib
import os
import stat

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from simmim.storage import files, model_file, records
from simmim.train import checkpoint


@pytest.fixture(params=[0o022, 0o002, 0o077, 0o027, 0o000], ids=oct)
def umask(request):
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def _optimised():
    model = nn.Linear(2, 2)
    optimizer = torch.optim.AdamW(model.parameters())
    model(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    return model, optimizer


def test_every_file_has_the_mode_of_the_umask(tmp_path, umask):
    files.write_text(tmp_path / "a.txt", "text")
    model_file.write(tmp_path / "a.safetensors", nn.Linear(2, 2), {"encoder": {}})
    checkpoint.save(tmp_path / "state", 1, *_optimised())
    records.write(tmp_path / "a.parquet", [])
    with files.whole_file(tmp_path / "b.safetensors") as temporary:
        save_file({"x": torch.zeros(1)}, temporary)
        assert stat.S_IMODE(temporary.stat().st_mode) == 0o600  # else nothing is shown
    (tmp_path / "old.txt").touch()
    (tmp_path / "old.txt").chmod(0o600)
    files.write_text(tmp_path / "old.txt", "a file that is replaced")
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(written) == 8
    assert {stat.S_IMODE(path.stat().st_mode) for path in written} == {0o666 & ~umask}


def test_a_file_is_flushed_before_it_gets_its_name_and_its_folder_after(tmp_path, monkeypatch):
    events = []
    fsync, replace = os.fsync, os.replace

    def flushed(descriptor):
        status = os.fstat(descriptor)
        events.append("folder" if stat.S_ISDIR(status.st_mode) else f"{status.st_size} bytes")
        fsync(descriptor)

    def renamed(source, target):
        events.append("rename")
        replace(source, target)

    monkeypatch.setattr(os, "fsync", flushed)
    monkeypatch.setattr(os, "replace", renamed)
    files.write_text(tmp_path / "a.txt", "12345")
    assert events == ["5 bytes", "rename", "folder"]


def test_a_block_that_fails_leaves_what_was_there(tmp_path):
    files.write_text(tmp_path / "a.txt", "old")
    with pytest.raises(KeyError), files.whole_file(tmp_path / "a.txt") as temporary:
        temporary.write_text("half")
        raise KeyError
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]
    assert (tmp_path / "a.txt").read_text() == "old"


def test_what_a_crashed_process_left_is_replaced(tmp_path):
    left = tmp_path / f".a.txt.{os.getpid()}.part"
    left.write_text("left by a process that had the same number")
    left.chmod(0o400)
    with files.whole_file(tmp_path / "a.txt") as temporary:
        assert temporary == left and not temporary.read_text()
        temporary.write_text("new")
    assert (tmp_path / "a.txt").read_text() == "new" and len(list(tmp_path.iterdir())) == 1


def test_folders_are_made_and_text_is_utf8(tmp_path):
    files.write_text(tmp_path / "a" / "b" / "c.txt", "ü")
    assert (tmp_path / "a" / "b" / "c.txt").read_bytes() == b"\xc3\xbc"


def test_digests_are_those_of_the_content(tmp_path):
    content = bytes(range(256)) * 4096  # larger than one block
    (tmp_path / "a").write_bytes(content)
    assert files.sha256_file(tmp_path / "a") == files.sha256_bytes(content) == hashlib.sha256(content).hexdigest()
