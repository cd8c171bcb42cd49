"""docs/architecture.md names every room and what it imports; sizes stay what a reader can hold in the head."""

import ast
import re
import statistics
from pathlib import Path

import grimp

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "simmim"
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
ROW = re.compile(r"^\| [^|]*\| `(\w+)` \| [^|]+\| ([^|]*)\|$", re.MULTILINE)


def rooms() -> dict[str, set[str]]:
    """Each room and the rooms that it imports."""
    graph = grimp.build_graph("simmim", exclude_type_checking_imports=True, cache_dir=None)
    found: dict[str, set[str]] = {}
    for module in graph.modules - {"simmim"}:
        room = module.split(".")[1]
        others = (name.split(".") for name in graph.find_modules_directly_imported_by(module))
        found.setdefault(room, set()).update(parts[1] for parts in others if len(parts) > 1 and parts[1] != room)
    return found


def test_the_page_has_every_room_with_what_it_imports():
    written = {room: {*filter(None, re.split(r",\s*", text.strip()))} for room, text in ROW.findall(PAGE)}
    assert written == rooms()


def test_files_that_the_page_names_are_there():
    for name in re.findall(r"(simmim/[\w/]+\.py)", PAGE):
        assert (ROOT / name).is_file(), name


def test_a_setting_passes_at_most_six_modules():
    assert [int(number) for number in re.findall(r"^      (\d)  simmim/", PAGE, re.MULTILINE)] == [1, 2, 3, 4, 5, 6]


def functions() -> dict[str, int]:
    """Lines of every function."""
    found = {}
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                found[f"{path.relative_to(ROOT)}:{node.name}:{node.lineno}"] = node.end_lineno - node.lineno + 1
    return found


def test_functions_are_short():
    lengths = functions()
    ordered = sorted(lengths.values())
    assert statistics.median(ordered) < 8 and ordered[int(0.9 * len(ordered))] < 20
    assert not {name: length for name, length in lengths.items() if length > 50}


def test_files_are_short_and_few_stand_at_the_top():
    lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in PACKAGE.rglob("*.py")}
    assert not {str(path): lines for path, lines in lengths.items() if lines > 250}
    assert len([*PACKAGE.glob("*.py")]) <= 10
    assert len((ROOT / "workflow" / "rules" / "common.smk").read_text().splitlines()) <= 80
