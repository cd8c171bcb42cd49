"""Small components for the contract tests, and the members that one lacks."""

from __future__ import annotations

from typing import Any

from simmim import plugin
from simmim.plugin import Component


def missing(kind: str, component: Any) -> list[str]:
    """Members that a component lacks."""
    return [name for name in plugin.members(kind) if not hasattr(component, name)]


def small(kind: str, name: str, settings: dict[str, dict[str, Any]], **context: Any) -> Any:
    """A component with the small settings that are known for it, or with its defaults."""
    return plugin.build(kind, Component(name=name, **settings.get(name, {})), **context)
