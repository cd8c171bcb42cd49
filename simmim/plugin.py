"""A name in a sheet is a file in the package: finds the one component class of `simmim/<kind>/<name>.py` (torch-free).

What a component may be given from a sheet are the arguments of its constructor, but for those that its kind's package
names in `CONTEXT`: these the code passes.
"""

from __future__ import annotations

import difflib
import importlib
import inspect
import pkgutil
import re
from collections.abc import Collection
from functools import cache
from types import ModuleType
from typing import Any

from pydantic import BaseModel, ConfigDict, model_validator


class NotInstalled(ValueError):
    """A component or verb needs a package that is an optional extra."""


_EXTRAS = {  # module -> its package and our extra (pyproject.toml)
    "faster_coco_eval": ("faster-coco-eval", "dense"),
    "segmentation_models_pytorch": ("segmentation-models-pytorch", "dense"),
    "snakemake": ("snakemake", "workflow"),
    "snakemake_executor_plugin_slurm": ("snakemake-executor-plugin-slurm", "workflow"),
    "snakemake_interface_common": ("snakemake", "workflow"),
    "sklearn": ("scikit-learn", "workflow"),
    "seaborn": ("seaborn", "workflow"),
    "statsmodels": ("statsmodels", "workflow"),
    "jinja2": ("jinja2", "workflow"),
    "lightly": ("lightly", "methods"),
}


def not_installed(what: str, error: ModuleNotFoundError) -> NotInstalled | None:
    """What to install; None where what is missing is no package of an extra."""
    package, extra = _EXTRAS.get((error.name or "").partition(".")[0], ("", ""))
    return NotInstalled(f"{what} needs the package {package}: pip install 'simmim[{extra}]'") if extra else None


class Component(BaseModel):
    """A section of a config that names a file of the package and holds that component's settings."""

    model_config = ConfigDict(extra="allow", frozen=True)

    name: str

    @model_validator(mode="before")
    @classmethod
    def _without_lists(cls, values: Any) -> Any:
        """Tuples for lists, so that equal sections are equal whether they come from YAML, JSON or code."""
        return {key: _as_tuple(value) for key, value in values.items()} if isinstance(values, dict) else values

    @property
    def settings(self) -> dict[str, Any]:
        """Everything but the name."""
        return dict(self.model_extra or {})

    def changed(self, **settings: Any) -> Component:
        """The same component with some settings replaced or added."""
        return Component(name=self.name, **self.settings | settings)

    def __hash__(self) -> int:
        return hash((self.name, *sorted(self.settings.items(), key=lambda item: item[0])))


def _as_tuple(value: Any) -> Any:
    return tuple(map(_as_tuple, value)) if isinstance(value, list | tuple) else value


@cache
def names(kind: str) -> tuple[str, ...]:
    """Names of every component of a kind, in alphabetical order, without importing any of them.

    A component is a module or a package; "evaluate", whose tasks are packages, has other modules beside them.
    """
    package = importlib.import_module(f"simmim.{kind}")
    found = [module for module in pkgutil.iter_modules(package.__path__) if not module.name.startswith("_")]
    return tuple(sorted(module.name for module in found if module.ispkg or kind != "evaluate"))


def component(kind: str, name: str) -> type:
    """The class that the file `simmim/<kind>/<name>.py` defines (its only public class).

    Raises:
        ValueError: for an unknown name, with the nearest valid one.
    """
    check_choice(f"{kind} name", name, names(kind))
    return _public_class(f"simmim.{kind}.{name}")


def task_settings(task: str) -> type[BaseModel]:
    """The settings of an evaluation task, the public class of `simmim/evaluate/<task>/settings.py`.

    Raises:
        ValueError: for an unknown task, with the nearest one.
    """
    check_choice("task", task, names("evaluate"))
    return _public_class(f"simmim.evaluate.{task}.settings")


def task(name: str) -> type:
    """The class that runs an evaluation task (`simmim.evaluate.task.Task`), imported only now, torch with it.

    Raises:
        ValueError: for an unknown task, with the nearest one.
    """
    check_choice("task", name, names("evaluate"))
    return _public_class(f"simmim.evaluate.{name}.task")


def _public_class(name: str) -> type:
    module = _imported(name)
    classes = [
        member
        for key, member in vars(module).items()
        if inspect.isclass(member) and member.__module__ == module.__name__ and not key.startswith("_")
    ]
    if len(classes) != 1:
        found = ", ".join(each.__name__ for each in classes) or "none"
        raise ValueError(f"{module.__file__} must define exactly one public class, it defines {found}")
    return classes[0]


def _imported(name: str) -> ModuleType:
    """A component's module; a file that someone has added may hold anything."""
    try:
        return importlib.import_module(name)
    except Exception as error:
        if isinstance(error, ModuleNotFoundError) and (missing := not_installed(name, error)):
            raise missing from None
        said = " ".join(str(error).split())
        raise ValueError(f"{name} cannot be imported ({type(error).__name__}: {said}); mend its file") from error


@cache
def members(kind: str) -> tuple[str, ...]:
    """What a component of a kind must have: the names in the list that ends the docstring of the kind's package."""
    text = importlib.import_module(f"simmim.{kind}").__doc__ or ""
    listed = re.findall(r"^ {4}(\w+(?:, \w+)*) {2,}\S", text.rpartition(" has\n\n")[2], re.MULTILINE)
    return tuple(name for names in listed for name in names.split(", "))


def build(kind: str, section: Component, **context: Any) -> Any:
    """Make the component that a section of a config describes.

    Args:
        context: what the code, not the user, passes to the constructor.

    Raises:
        ValueError: for an unknown name or setting, with the nearest valid one; for a component that lacks a member.
    """
    made_from = component(kind, section.name)
    allowed = set(inspect.signature(made_from).parameters) - set(context)
    for key in section.settings:
        check_choice(f"setting of {kind}={section.name}", key, allowed)
    made = made_from(**section.settings, **context)
    if lacking := [member for member in members(kind) if not hasattr(made, member)]:
        names = ", ".join(lacking)
        raise ValueError(
            f"{inspect.getfile(made_from)} lacks {names}; the docstring of simmim.{kind} says what that is"
        )
    return made


_LONGEST_LIST = 400  # characters; of more names the nearest ones stand for all


def check_choice(what: str, given: str, allowed: Collection[str]) -> None:
    """Raise a ValueError that says what was given, what is nearest and what is allowed."""
    if isinstance(given, str) and given in allowed:
        return
    allowed = sorted(allowed)
    near = difflib.get_close_matches(str(given), allowed, n=1, cutoff=0.5)
    hint = f"; did you mean '{near[0]}'?" if near else ""
    listed = ", ".join(allowed) or "none"
    if len(listed) > _LONGEST_LIST:
        some = difflib.get_close_matches(str(given), allowed, n=5, cutoff=0.0)
        listed = f"{len(allowed)} names, such as {', '.join(some)}"
    raise ValueError(f"unknown {what} '{given}'{hint} (allowed: {listed})")
