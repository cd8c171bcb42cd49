"""A name in a sheet is a file in the package: finds the one component class of `simmim/<kind>/<name>.py`."""

from __future__ import annotations

import difflib
import importlib
import inspect
import pkgutil
from collections.abc import Iterable, Mapping
from typing import Any


class NotInstalled(ValueError):
    """A component needs a package that is an optional extra."""


def names(kind: str) -> list[str]:
    """Names of every component of a kind, without importing any of them."""
    package = importlib.import_module(f"simmim.{kind}")
    return sorted(module.name for module in pkgutil.iter_modules(package.__path__) if not module.name.startswith("_"))


def component(kind: str, name: str) -> type:
    """The class that the file `simmim/<kind>/<name>.py` defines (its only public class).

    Raises:
        ValueError: for an unknown name, with the nearest valid one.
    """
    check_choice(f"{kind} name", name, names(kind))
    module = importlib.import_module(f"simmim.{kind}.{name}")
    classes = [
        member
        for key, member in vars(module).items()
        if inspect.isclass(member) and member.__module__ == module.__name__ and not key.startswith("_")
    ]
    assert len(classes) == 1, f"{module.__name__} must define exactly one public class, it defines {classes}"
    return classes[0]


def build(kind: str, section: Mapping[str, Any], **context: Any) -> Any:
    """Make the component that a config section `{name: ..., setting: ...}` describes.

    Args:
        context: what the code, not the user, passes to the constructor.

    Raises:
        ValueError: for an unknown name or setting, with the nearest valid one.
    """
    settings = {key: value for key, value in section.items() if key != "name"}
    made_from = component(kind, section["name"])
    check_settings(kind, section, set(context))
    return made_from(**settings, **context)


def check_settings(kind: str, section: Mapping[str, Any], context: set[str] = frozenset()) -> None:
    """Refuse settings that the component of this section does not have."""
    allowed = set(inspect.signature(component(kind, section["name"])).parameters) - context
    for key in section.keys() - {"name"}:
        check_choice(f"setting of {kind}={section['name']}", key, allowed)


def check_choice(what: str, given: str, allowed: Iterable[str]) -> None:
    """Raise a ValueError that says what was given, what is nearest and what is allowed."""
    allowed = sorted(allowed)
    if given in allowed:
        return
    near = difflib.get_close_matches(str(given), allowed, n=1, cutoff=0.5)
    hint = f"; did you mean '{near[0]}'?" if near else ""
    raise ValueError(f"unknown {what} '{given}'{hint} (allowed: {', '.join(allowed) or 'none'})")
