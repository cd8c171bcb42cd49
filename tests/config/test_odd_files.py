"""Sheets and recipes as editors, spreadsheets and accidents leave them: no row is ever lost without a word."""

import re

import pytest
from helpers.locked import locked

from simmim.config.reading import read_sheet, read_yaml
from simmim.config.rows import ClaimRow, PaperRow, TableRow

BOMB = "a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 9))
SHEETS = {
    "claims": (("claim", "evaluation"), ClaimRow),
    "paper": (("table", "row", "column"), PaperRow),
    "tables": (("table",), TableRow),
}


def rows(folder, name):
    return read_sheet(folder / f"{name}.tsv", *SHEETS[name])


def refusal(read, *arguments):
    with pytest.raises(ValueError) as refused:
        read(*arguments)
    assert "\n" not in str(refused.value)
    return str(refused.value)


@pytest.mark.parametrize("name", SHEETS)
def test_a_stray_quotation_mark_swallows_no_row(folder, name):
    path, sound = folder / f"{name}.tsv", rows(folder, name)
    lines = path.read_text().split("\n")
    shown = [number for number, line in enumerate(lines) if line and line[0] != "#"][1:]
    for number in shown[:: len(shown) // 4]:
        for cell in range(lines[number].count("\t") + 1):
            cells = lines[number].split("\t")
            cells[cell] = '"' + cells[cell]
            path.write_text("\n".join([*lines[:number], "\t".join(cells), *lines[number + 1 :]]))
            try:
                assert len(rows(folder, name)) == len(sound)
            except ValueError as refused:
                assert str(path) in str(refused) and '"' in str(refused)  # where no such character may stand


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
@pytest.mark.parametrize("ending", ["\r\n", "\r"])
def test_sheets_of_other_systems_hold_the_same_rows(folder, encoding, ending):
    path, sound = folder / "claims.tsv", rows(folder, "claims")
    path.write_bytes(path.read_text().replace("\n", ending).encode(encoding))
    assert rows(folder, "claims") == sound


@pytest.mark.parametrize("character", ["\0", "\x0b", "\x0c", "\x1a", "\x1e", "\x85", "\u2028"])
def test_a_control_character_is_refused_with_its_line(folder, character):
    path = folder / "tables.tsv"
    lines = path.read_text().split("\n")
    lines[5] += character + "more"
    path.write_text("\n".join(lines))
    assert refusal(rows, folder, "tables").startswith(f"{path}, line 6: the control character {character!r} stands")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty: its first row must name the columns"),
        (b"# only a comment\n", "is empty: its first row must name the columns"),
        ("table\ttitle\tsection\ngrün\tb\tc\n".encode("latin-1"), "is not UTF-8 text (invalid"),
        (b"table\ttitle\tsection\na\tb\tc\td\n", ", line 2: 4 cells under 3 columns"),
        (b"table\ttitle\ttitle\na\tb\tc\n", "the column 'title' stands twice"),
        (b"table\ttitle\tsection\na\tb\n", "row 'a': section = ''"),
        (b"table\ttitle\tsection\na\tb\tc\n\na\tb\tc\n", ", line 4: a second row 'a'"),
    ],
)
def test_a_sheet_that_is_none_is_one_sentence(folder, content, message):
    (folder / "tables.tsv").write_bytes(content)
    said = refusal(rows, folder, "tables")
    assert str(folder / "tables.tsv") in said and message in said


def test_a_locked_sheet_and_a_folder_in_its_place(folder):
    path = folder / "tables.tsv"
    with locked(path):
        assert refusal(rows, folder, "tables") == f"{path} cannot be read: Permission denied; check its permissions"
    path.unlink()
    path.mkdir()
    assert "cannot be read: Is a directory" in refusal(rows, folder, "tables")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[" * 600, "nested too deep"),
        ("".join(" " * depth + "a:\n" for depth in range(1500)), "nested too deep"),
        ("a: !!python/object/apply:os.system [touch pwned]", "could not determine a constructor for the tag"),
        ("a: &a [*a]", "it holds more than 100000 values"),
        ("a: &a {b: *a}", "it holds more than 100000 values"),
        (BOMB, "it holds more than 100000 values"),
        ("? [1, 2]\n: 3", "found unhashable key"),
        ("1: 2\na: 3\n1: 4", "line 1: 1 is given twice"),
        ("a: !!timestamp noon", "has no attribute"),
        ("a: 2024-13-45", "month must be in 1..12"),
        ("a: \0", "unacceptable character"),
        ("a:\n\tb: 1", "cannot start any token"),
        ("a: 1\n---\nb: 2", "expected a single document"),
    ],
)
def test_yaml_that_is_none_is_one_sentence_and_runs_nothing(tmp_path, monkeypatch, content, message):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "a.yaml"
    path.write_text(content)
    said = refusal(read_yaml, path)
    assert re.match(f"{path} is not valid YAML, or is damaged \\(.*; mend it$", said) and message in said
    assert not (tmp_path / "pwned").exists()
