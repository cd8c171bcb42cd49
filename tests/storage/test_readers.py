"""What is wrong with a file is one sentence with its name and what to do, whatever the library says that reads it."""

import errno
import os
import re

import numpy as np
import pyarrow.parquet as pq
import pytest
from helpers.locked import locked
from safetensors import safe_open

from simmim.storage.reading import one_line, os_error, read_json, read_text, reading

CONTENTS = [b"", b"\0" * 100, b"PK\x03\x04" * 25, b"[" * 100_000, b"\x93NUMPY\x01\x00\x0a\x00{'a': (1, }\n"]


def opened(path):
    with safe_open(path, framework="np") as file:
        return file.keys()


READERS = {"parquet": pq.read_table, "safetensors": opened, "numpy": np.load, "text": read_text}
READERS |= {"json": lambda path: read_json(path, "JSON", "write it again")}


def refusal(path, reader):
    with pytest.raises(ValueError) as refused, reading(path, "a sound file", "fetch it again"):
        READERS[reader](path)
    assert "\n" not in str(refused.value)
    return str(refused.value)


@pytest.mark.parametrize("reader", READERS)
class TestWhateverReadsIt:
    def test_a_folder_is_no_file(self, tmp_path, reader):
        said = "cannot be read: Is a directory; a file must stand there, not a folder"
        assert refusal(tmp_path, reader) == f"{tmp_path} {said}"

    def test_a_missing_file(self, tmp_path, reader):
        path = tmp_path / "a"
        assert refusal(path, reader) == f"{path} cannot be read: No such file or directory; check the path"

    def test_a_locked_file(self, tmp_path, reader):
        path = tmp_path / "a"
        path.write_text("{}")
        with locked(path):
            assert refusal(path, reader) == f"{path} cannot be read: Permission denied; check its permissions"

    def test_a_pipe_is_not_waited_for(self, tmp_path, reader):
        os.mkfifo(tmp_path / "a")
        assert refusal(tmp_path / "a", reader).startswith(f"{tmp_path / 'a'} cannot be read: not a regular file; ")


@pytest.mark.parametrize("reader", ["parquet", "safetensors", "numpy", "json"])
@pytest.mark.parametrize("content", CONTENTS)
def test_what_a_library_says_of_a_damaged_file_is_one_sentence(tmp_path, reader, content):
    path = tmp_path / "a"
    path.write_bytes(content)
    said = refusal(path, reader)
    assert said.startswith(f"{path} is not ") and "or is damaged (" in said and len(said) < 700
    assert said.endswith("; write it again" if reader == "json" else "; fetch it again") or reader == "json"


@pytest.mark.parametrize("reader", ["parquet", "safetensors", "numpy", "json"])
@pytest.mark.parametrize(
    ("content", "said"),
    [
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:4d\nsize 9\n",
            "a pointer of Git LFS, .* `git lfs pull`",
        ),
        (b"\n<!doctype HTML><html>Sign in</html>", "a web page, not the file itself; fetch that by a direct link"),
    ],
)
def test_what_a_download_left_instead_of_a_file_is_named(tmp_path, reader, content, said):
    path = tmp_path / "a"
    path.write_bytes(content)
    assert re.fullmatch(f"{path} is {said}", refusal(path, reader))


def test_what_the_system_says_names_the_file_and_a_cure():
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/a/b")
    assert os_error(full) == "/a/b: No space left on device; make room and start again"
    assert os_error(OSError(errno.EXDEV, "odd", "/a", None, "/b")).startswith("/a -> /b: odd; see whether its disk is")
    assert os_error(OSError("page 3\nis bad"), "it").startswith("it: page 3 is bad; see whether")
    assert one_line(ValueError()) == "ValueError" and one_line(ValueError("a\n b")) == "a b"
    assert one_line(ValueError("a" * 900)) == "a" * 400 + " ..."


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
def test_text_of_any_system(tmp_path, encoding, ending):
    (tmp_path / "a").write_bytes(f"ü{ending}b{ending}".encode(encoding))
    assert read_text(tmp_path / "a") == "ü\nb\n"


def test_text_that_is_none(tmp_path):
    (tmp_path / "a").write_bytes("grün".encode("latin-1"))
    with pytest.raises(ValueError, match=r"a is not UTF-8 text \(.* at byte 2\); save it as UTF-8"):
        read_text(tmp_path / "a")
