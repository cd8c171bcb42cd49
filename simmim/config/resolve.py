"""The steps from a recipe to a completed config: scale, changed values, checks (torch-free)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import PydanticUndefined

from simmim.config.sections import SECTIONS
from simmim.plugin import check_choice

Config = dict[str, Any]


class DoesNotFit(ValueError):
    """A row that cannot exist at a scale; tables print `words` and the reason.

    Args:
        reason: why.
        place: the row, its sheet first.
    """

    words = "does not fit this scale"

    def __init__(self, reason: str, place: str = "") -> None:
        super().__init__(f"{place}: {reason}" if place else reason)
        self.reason = reason


class Unavailable(DoesNotFit):
    """A row whose data nobody outside can get."""

    words = "needs data that is not public"


def apply_set(
    config: Config, values: Mapping[str, Any], widths: Mapping[str, Mapping[str, Config]] = MappingProxyType({})
) -> None:
    """Put the values of a `set` column into a config; naming a component replaces its whole section.

    Args:
        widths: by section and component, the settings that a component has at this scale unless the row says otherwise.
    """
    for key, value in values.items():
        section, _, name = key.partition(".")
        check_choice("section in column 'set'", section, config)
        if not name and isinstance(config[section], dict):
            if "name" not in config[section]:
                raise ValueError(f"'{section}={value}' in column 'set': give one of its settings, as {section}.key=...")
            config[section] = {"name": value} | widths.get(section, {}).get(value, {})
        elif not name:
            config[section] = value
        else:
            config[section] = config[section] | {name: value}


def merged(base: Mapping[str, Any], change: Mapping[str, Any]) -> Config:
    """`base` with the values of `change`, section by section."""
    result = dict(base)
    for key, value in change.items():
        both = isinstance(value, Mapping) and isinstance(result.get(key), Mapping)
        result[key] = merged(result[key], value) if both else value
    return result


def to_scale(values: Mapping[str, Any], scale: Config, epochs: float = 1.0) -> Config:
    """Bring the paper's pixels and epochs to a scale; what belongs to the encoder comes whole from the scale."""
    pixels = scale.get("pixels")

    def convert(key: str, value: Any) -> Any:
        if key.startswith("encoder"):
            return value
        if isinstance(value, Mapping):
            return {name: convert(name, inner) for name, inner in value.items()}
        if key.endswith("_px") and pixels is not None:
            if value not in pixels:
                raise DoesNotFit(f"{key} of {value} px in the paper has no counterpart at this scale")
            return pixels[value]
        return value * epochs if key.endswith("epochs") and epochs != 1.0 else value

    return {key: convert(key, value) for key, value in values.items()}


def defaults(model: type[BaseModel]) -> Config:
    """The sections that a recipe may leave out, so that a row can still set one of their values."""
    fields = {name: field.default for name, field in model.model_fields.items()}
    given = {name: value for name, value in fields.items() if value is not None and value is not PydanticUndefined}
    return {name: value.model_dump(mode="json") if isinstance(value, BaseModel) else value
            for name, value in given.items()}  # fmt: skip


def validated(model: type, config: Config) -> Config:
    """Check a config against its sections and fill in their defaults."""
    try:
        return model.model_validate(config).model_dump(mode="json")
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        if first["type"] == "extra_forbidden":
            section = SECTIONS[str(first["loc"][0])] if len(first["loc"]) > 1 else model
            check_choice("setting", place, [*(f"{first['loc'][0]}." * (len(first["loc"]) > 1) + k
                                              for k in section.model_fields)])  # fmt: skip
        raise ValueError(f"{place or 'config'} = {first.get('input')!r}: {first['msg']}") from None


@contextmanager
def located_at(place: str) -> Iterator[None]:
    """Begin the message of a user's mistake with the row that it is in."""
    try:
        yield
    except DoesNotFit as error:
        raise type(error)(error.reason, place) from None
    except ValueError as error:
        raise ValueError(f"{place}: {error}") from None
