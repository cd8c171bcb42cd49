"""Messages of users' mistakes: the row they are in, the value, and the nearest valid choice."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from simmim.plugin import check_choice

Model = TypeVar("Model", bound=BaseModel)


class DoesNotFit(ValueError):
    """A row that a scale cannot have; tables print `message` and the reason.

    Args:
        reason: why.
        place: the row, its sheet first.
    """

    message = "does not fit this scale"

    def __init__(self, reason: str, place: str = "") -> None:
        super().__init__(f"{place}: {reason}" if place else reason)
        self.reason = reason


class Unavailable(DoesNotFit):
    """A row whose data are not public."""

    message = "needs data that is not public"


@contextmanager
def located_at(place: str) -> Iterator[None]:
    """Begin the message of a user's mistake with the row or file that it is in."""
    try:
        yield
    except DoesNotFit as error:
        raise type(error)(error.reason, place) from None
    except ValueError as error:
        raise ValueError(f"{place}: {error}") from None


def validated(model: type[Model], values: Mapping[str, Any]) -> Model:
    """A model of checked values, its defaults filled in.

    Raises:
        ValueError: one line about the first value that is wrong, with the nearest valid setting.
    """
    try:
        return model.model_validate(dict(values))
    except ValidationError as error:
        first = min(
            error.errors(), key=lambda each: each["type"] != "extra_forbidden"
        )  # a misspelt setting is missing too
        place = ".".join(str(part) for part in first["loc"])
        if first["type"] == "extra_forbidden":
            check_choice("setting", place, _neighbours(model, first["loc"]))
        if first["type"] == "missing":
            raise ValueError(f"{place} is missing") from None
        message = first["msg"].removeprefix("Value error, ")
        where = f"{place} = {first.get('input')!r}: " if place and not isinstance(first.get("input"), dict) else ""
        raise ValueError(where + message) from None


def check_no_circle(setting: str, start: str, followers: Sequence[str], way_out: str) -> None:
    """Refuse a row that starts from one of its own followers.

    Args:
        start: what the setting of a row names.
        followers: that row, the one that starts from it, and so on.
    """
    if start in followers:
        circle = " <- ".join([start, *followers[: followers.index(start) + 1]])
        raise ValueError(f"{setting}={start}: a circle, {circle}; {way_out}")


def _neighbours(model: type[BaseModel], place: tuple[int | str, ...]) -> list[str]:
    """The settings that could have stood where an unknown one does."""
    for part in place[:-1]:
        found = section_of(model, str(part))
        if found is None:
            return []
        model = found
    prefix = ".".join(map(str, place[:-1]))
    return [f"{prefix}.{name}" if prefix else name for name in model.model_fields]


def section_of(model: type[BaseModel], name: str) -> type[BaseModel] | None:
    """The model of a section, or of an optional one; None for a plain value."""
    if name not in model.model_fields:
        return None
    annotation = model.model_fields[name].annotation
    choices = [annotation, *getattr(annotation, "__args__", ())]
    return next((each for each in choices if isinstance(each, type) and issubclass(each, BaseModel)), None)
