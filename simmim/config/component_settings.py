"""Which settings a component has and of which type, read from its source: neither torch nor the component is imported.

Sheets are checked by this while Snakemake parses them. A setting is an argument of the component's constructor, or a
field of its dataclass, whose annotation is made of `int`, `float`, `str`, `bool`, `None`, tuples and sequences of them.
"""

from __future__ import annotations

import ast
import importlib
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Literal, NamedTuple

from pydantic import ConfigDict, TypeAdapter, ValidationError

from simmim import plugin
from simmim.storage.reading import reading

_PACKAGE = Path(plugin.__file__).parent
_SIMPLE_TYPES = {each.__name__: each for each in (int, float, str, bool, tuple, dict)}
_TYPES = {"Sequence": Sequence, "Mapping": Mapping, "Literal": Literal, "Any": Any} | _SIMPLE_TYPES


class Setting(NamedTuple):
    """One setting of a component: its type, and whether it must be given."""

    annotation: Any
    required: bool


@cache
def settings_of(kind: str, name: str) -> dict[str, Setting]:
    """The settings that a sheet may give a component.

    Raises:
        ValueError: for an unknown component, with the nearest one.
    """
    context = set(importlib.import_module(f"simmim.{kind}").CONTEXT)
    arguments = arguments_of(kind, name)
    return {key: Setting(_type(text), required) for key, (text, required) in arguments.items() if key not in context}


@cache
def arguments_of(kind: str, name: str) -> dict[str, tuple[str, bool]]:
    """Every argument of a component's constructor: its annotation as text, and whether it has no default."""
    plugin.check_choice(f"{kind} name", name, plugin.names(kind))
    folder = _PACKAGE.joinpath(*kind.split("."))
    file = folder / f"{name}.py"
    return _arguments(file if file.is_file() else folder / name / "__init__.py")


def checked(kind: str, section: Mapping[str, Any]) -> dict[str, Any]:
    """A section `{name: ..., setting: ...}` with every value in the type of its setting.

    Raises:
        ValueError: for an unknown component or setting, a missing one, or a value of another type.
    """
    known = settings_of(kind, section["name"])
    for key in section.keys() - {"name"}:
        plugin.check_choice(f"setting of {kind}={section['name']}", key, known)
    for key, setting in known.items():
        if setting.required and key not in section:
            raise ValueError(f"{kind}={section['name']} needs the setting '{key}'")
    return {
        key: value if key == "name" else converted(f"{section['name']}.{key}", value, known[key].annotation)
        for key, value in section.items()
    }


def converted(place: str, value: Any, annotation: Any) -> Any:
    """A value in a given type; text from a sheet becomes the number, truth value or nothing that is asked for.

    Raises:
        ValueError: that begins with `place`.
    """
    if annotation is not str and isinstance(value, str) and value.lower() in ("none", "null"):
        value = None
    try:
        return _adapter(annotation).validate_python(value)
    except ValidationError as error:
        raise ValueError(f"{place} = {value!r}: {error.errors()[0]['msg']}") from None


@cache
def _adapter(annotation: Any) -> TypeAdapter:
    return TypeAdapter(annotation, config=ConfigDict(allow_inf_nan=False))


def _type(annotation: str) -> Any:
    """The type that an annotation of simple types names; anything else is a value that no sheet can hold."""
    try:
        return eval(annotation, {"__builtins__": {}}, dict(_TYPES))
    except (NameError, TypeError):
        return Any


def _arguments(file: Path, wanted: str | None = None) -> dict[str, tuple[str, bool]]:
    """Arguments of the constructor of a file's public class, or of the class `wanted`."""
    with reading(file, "valid Python", "mend it"):
        tree = ast.parse(file.read_text(encoding="utf-8"))
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef)]
    fitting = [each for each in classes if each.name == wanted or (not wanted and not each.name.startswith("_"))]
    if not fitting:
        raise ValueError(f"{file} must define {wanted or 'one public class'}; add it")
    chosen = fitting[0]
    for node in chosen.body:
        if isinstance(node, ast.FunctionDef) and node.name == "__init__":
            return _of_function(node.args)
    inherited: dict[str, tuple[str, bool]] = {}
    for base in chosen.bases:
        inherited |= _inherited(file, tree, ast.unparse(base))
    return inherited | (_of_fields(chosen) if _is_dataclass(chosen) else {})


def _inherited(file: Path, tree: ast.Module, base: str) -> dict[str, tuple[str, bool]]:
    """Those of a base class that stands in the same file, or in another one of this package."""
    if any(isinstance(node, ast.ClassDef) and node.name == base for node in tree.body):
        return _arguments(file, base)
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and any(each.name == base for each in node.names):
            path = _PACKAGE.parent.joinpath(*(node.module or "").split(".")).with_suffix(".py")
            return _arguments(path, base) if path.is_file() else {}
    return {}


def _is_dataclass(node: ast.ClassDef) -> bool:
    return any(ast.unparse(each).startswith("dataclass") for each in node.decorator_list)


def _of_fields(node: ast.ClassDef) -> dict[str, tuple[str, bool]]:
    fields = [each for each in node.body if isinstance(each, ast.AnnAssign)]
    texts = {ast.unparse(each.target): (ast.unparse(each.annotation), each.value is None) for each in fields}
    return {name: found for name, found in texts.items() if not found[0].startswith("ClassVar")}


def _of_function(arguments: ast.arguments) -> dict[str, tuple[str, bool]]:
    positional = arguments.args[1:]
    defaults = [None] * (len(positional) - len(arguments.defaults)) + list(arguments.defaults[-len(positional) :])
    pairs = [*zip(positional, defaults), *zip(arguments.kwonlyargs, arguments.kw_defaults)]
    return {
        each.arg: (ast.unparse(each.annotation) if each.annotation else "Any", default is None)
        for each, default in pairs
    }
