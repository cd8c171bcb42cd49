"""The members that a kind of component must have, as the docstring of its package names them."""

from __future__ import annotations

import importlib
import re
from typing import Any

from simmim import plugin
from simmim.plugin import Component


def members(kind: str) -> list[str]:
    """Names in the list that ends the docstring of `simmim.<kind>`: four spaces, a name, its meaning."""
    text = importlib.import_module(f"simmim.{kind}").__doc__ or ""
    names = re.findall(r"^ {4}(\w+(?:, \w+)*) {2,}\S", text.rpartition(" has\n\n")[2], re.MULTILINE)
    return [name for group in names for name in group.split(", ")]


def missing(kind: str, component: Any) -> list[str]:
    """Members that a component lacks."""
    return [name for name in members(kind) if not hasattr(component, name)]


def small(kind: str, name: str, settings: dict[str, dict[str, Any]], **context: Any) -> Any:
    """A component with the small settings that are known for it, or with its defaults."""
    return plugin.build(kind, Component(name=name, **settings.get(name, {})), **context)
