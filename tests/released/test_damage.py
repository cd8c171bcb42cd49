"""A damaged file is never converted: an archive's checksums are verified, and a stated SHA-256 where one is known."""

import io
import struct
import zipfile

import pytest
import torch
from official import tensors
from released_files import finetuned, pretrained
from safetensors.torch import save_file

from simmim.__main__ import main
from simmim.released.checkpoint import read_checkpoint
from simmim.released.convert import convert
from simmim.storage.files import sha256_file


def entries(content):
    """Name, first byte and size of every entry that is not empty."""
    for entry in zipfile.ZipFile(io.BytesIO(content)).infolist():
        name, extra = struct.unpack_from("<2H", content, entry.header_offset + 26)
        if entry.file_size:
            yield entry.filename, entry.header_offset + 30 + name + extra, entry.file_size


def flipped(content, place, bit):
    return content[:place] + bytes([content[place] ^ 1 << bit]) + content[place + 1 :]


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    return pretrained(tmp_path_factory.mktemp("sound") / "a.pth", "mim_vit_a_norm", config=False).read_bytes()


def refused(path, content):
    """The one line with which a file of this content is refused; None where it is read."""
    path.write_bytes(content)
    try:
        read_checkpoint(path)
    except ValueError as error:
        assert str(error).startswith(f"{path} is ") and "\n" not in str(error)
        return str(error)
    return None


def test_one_flipped_bit_in_any_entry_is_refused(tmp_path, archive):
    tried, silent = 0, 0
    for number, (name, start, size) in enumerate(entries(archive)):
        for place in {start, start + size // 2, start + size - 1}:
            content = flipped(archive, place, (number + place) % 8)
            message = refused(tmp_path / "a.pth", content)
            assert message and f"is damaged: its entry '{name}' does not have its checksum" in message
            tried += 1
            if "/data/" in name:
                torch.load(tmp_path / "a.pth", weights_only=True)  # says nothing
                silent += 1
    assert tried > 100 and silent > 90


def test_a_flipped_bit_beside_the_entries_is_refused_or_changes_nothing(tmp_path, archive):
    inside = {place for _, start, size in entries(archive) for place in range(start, start + size)}
    expected = tensors("mim_vit_a_norm", "weights")
    outside = [place for place in range(len(archive)) if place not in inside]
    for number, place in enumerate(outside[::61]):
        path = tmp_path / "a.pth"
        if refused(path, flipped(archive, place, number % 8)) is None:
            state = read_checkpoint(path).state
            assert state.keys() == expected.keys()
            assert all(torch.equal(state[name], expected[name]) for name in expected)


@pytest.mark.parametrize("damage", ["zeros", "moved", "repeated", "cut out"])
def test_larger_damage_is_refused(tmp_path, archive, damage):
    _, start, size = max(entries(archive), key=lambda entry: entry[2])
    half = size // 2
    first, second = archive[start : start + half], archive[start + half : start + 2 * half]
    changed = {"zeros": bytes(2 * half), "moved": second + first, "repeated": first + first, "cut out": first}[damage]
    assert first != second
    assert refused(tmp_path / "a.pth", archive[:start] + changed + archive[start + 2 * half :])


def test_a_damaged_file_is_one_line_and_nothing_is_written(tmp_path, capsys):
    sound = finetuned(tmp_path / "a.pth", "ft_swin_a").read_bytes()
    name, start, _ = next(entry for entry in entries(sound) if "/data/" in entry[0])
    (tmp_path / "b.pth").write_bytes(flipped(sound, start + 3, 0))
    assert main(["convert", "--from", str(tmp_path / "b.pth"), "--to", str(tmp_path / "out.safetensors")]) == 2
    expected = f"{tmp_path}/b.pth is damaged: its entry '{name}' does not have its checksum; fetch it again\n"
    assert capsys.readouterr().err == f"simmim: error: {expected}"
    assert not (tmp_path / "out.safetensors").exists()


def test_what_a_download_left_instead_of_a_file_is_named(tmp_path):
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d\nsize 9\n"
    assert refused(tmp_path / "a.pth", pointer).endswith("fetch that with `git lfs pull`")
    assert refused(tmp_path / "a.pth", b"<html><body>").endswith("fetch that by a direct link")


def test_what_cannot_be_checked_is_said(tmp_path):
    state = tensors("mim_vit_a_norm", "weights")
    torch.save({"model": state}, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    save_file(state, tmp_path / "bare.safetensors")
    torch.save({"model": state}, tmp_path / "new.pth")
    said = {}
    for file in ("old.pth", "bare.safetensors", "new.pth"):
        notes = convert(tmp_path / file, tmp_path / f"{file}.safetensors")
        said[file] = [note for note in notes if note.startswith("not checked for damage")]
    assert [len(notes) for notes in said.values()] == [1, 1, 0]
    assert "a .pth from before PyTorch 1.6 has no checksums; compare its SHA-256" in said["old.pth"][0]


@pytest.mark.parametrize("kind", ["archive", "old", "bare", "ours"])
def test_a_stated_digest_is_held_against_the_file(tmp_path, kind):
    state = tensors("mim_vit_a_norm", "weights")
    source, target = tmp_path / ("a.pth" if kind in ("archive", "old") else "a.safetensors"), tmp_path / "b.safetensors"
    if kind == "bare":
        save_file(state, source)
    elif kind == "ours":
        convert(pretrained(tmp_path / "c.pth", "mim_vit_a_norm"), source)
    else:
        torch.save({"model": state}, source, _use_new_zipfile_serialization=kind == "archive")
    stated = sha256_file(source)
    for other in (stated[:-1] + ("0" if stated[-1] != "0" else "1"), "0" * 64):
        with pytest.raises(ValueError, match=f"a.* has the SHA-256 {stated}, not the stated {other}; fetch it again"):
            convert(source, target, sha256=other)
    for other in ("", stated[:8], f"sha256:{stated}", stated + "0", "g" * 64):
        with pytest.raises(ValueError, match=f"SHA-256 '{other}' must be 64 hex digits"):
            convert(source, target, sha256=other)
    assert not target.exists()
    convert(source, target, sha256=stated.upper())
    assert target.exists()
