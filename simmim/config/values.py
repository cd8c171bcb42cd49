"""From a recipe to a config: values of a `set` column in their types, a scale's pixels, epochs and widths."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, get_origin

from pydantic import BaseModel

from simmim import plugin
from simmim.config.component_settings import converted, settings_of
from simmim.config.errors import DoesNotFit, section_of
from simmim.config.scale import ScaleConfig

Values = dict[str, Any]
Widths = Mapping[str, Mapping[str, Values]]
NO_WIDTHS: Widths = MappingProxyType({})


def typed(
    values: Mapping[str, str], draft: Mapping[str, Any], model: type[BaseModel], kinds: Mapping[str, str]
) -> Values:
    """The values of a `set` column in the types of the settings that they are for.

    Args:
        values: `section.setting` or `section` to the text in the sheet.
        draft: what they change; says which component a section holds.
        model: the sections that there are.
        kinds: section to the kind of component that it holds ("mask" to "masks").

    Raises:
        ValueError: for an unknown section, component or setting with the nearest one, or a value of another type.
    """
    chosen = {section: values.get(section, (draft.get(section) or {}).get("name", "")) for section in kinds}
    result: Values = {}
    for key, text in values.items():
        section, _, setting = key.partition(".")
        plugin.check_choice("section in column 'set'", section, model.model_fields)
        if section in kinds:
            result[key] = _of_component(key, text, kinds[section], chosen[section])
        elif fixed := section_of(model, section):
            if not setting:
                raise ValueError(f"'{key}={text}' in column 'set': give one of its settings, as {section}.key=...")
            names = {f"{section}.{name}": field.annotation for name, field in fixed.model_fields.items()}
            plugin.check_choice("setting", key, names)
            result[key] = _single(key, text, names[key])
        else:
            if setting:
                raise ValueError(f"'{key}={text}' in column 'set': {section} has no settings, write {section}=...")
            result[key] = _single(key, text, model.model_fields[section].annotation)
    return result


def _of_component(key: str, text: str, kind: str, name: str) -> Any:
    setting = key.partition(".")[2]
    known = settings_of(kind, name)
    if not setting:
        return text
    plugin.check_choice(f"setting of {kind}={name}", setting, known)
    return _single(key, text, known[setting].annotation)


def _single(key: str, text: str, annotation: Any) -> Any:
    """One number, word or truth value."""
    origin = get_origin(annotation) or annotation
    is_list = origin is Sequence or (isinstance(origin, type) and issubclass(origin, list | tuple | dict))
    if is_list or text[:1] in ("[", "{"):
        raise ValueError(f"'{key}={text}' in column 'set': only single values, write another recipe for lists")
    return converted(key, text, annotation)


def apply(config: Values, values: Mapping[str, Any], kinds: Mapping[str, str], widths: Widths = NO_WIDTHS) -> Values:
    """A config with the typed values of a `set` column; naming a component replaces its whole section.

    Args:
        widths: by section and component, the settings that a component has at this scale unless the row says otherwise.
    """
    result = dict(config)
    for key in sorted(values, key=lambda key: "." in key):  # components first, then what is set about them
        section, _, setting = key.partition(".")
        if setting:
            result[section] = dict(result.get(section) or {}) | {setting: values[key]}
        elif section in kinds:
            result[section] = {"name": values[key]} | widths.get(section, {}).get(values[key], {})
        else:
            result[section] = values[key]
    return result


def merged(base: Mapping[str, Any], change: Mapping[str, Any]) -> Values:
    """`base` with the values of `change`, section by section."""
    result = dict(base)
    for key, value in change.items():
        both = isinstance(value, Mapping) and isinstance(result.get(key), Mapping)
        result[key] = merged(result[key], value) if both else value
    return result


def to_scale(values: Mapping[str, Any], scale: ScaleConfig, epochs: float = 1.0) -> Values:
    """Bring the paper's pixels and epochs to a scale; what belongs to the encoder comes whole from the scale.

    Raises:
        DoesNotFit: for a number of pixels that the scale has no counterpart of.
    """

    def convert(key: str, value: Any) -> Any:
        if key.startswith("encoder"):
            return value
        if isinstance(value, Mapping):
            return {name: convert(name, inner) for name, inner in value.items()}
        if key.endswith("_px") and scale.pixels is not None and value is not None:
            return _at_scale(key, value, scale.pixels)
        return value * epochs if key.endswith("epochs") and epochs != 1.0 else value

    return {key: convert(key, value) for key, value in values.items()}


def _at_scale(key: str, value: Any, pixels: Mapping[int, int]) -> Any:
    if isinstance(value, list | tuple):
        return [_at_scale(key, each, pixels) for each in value]
    if value not in pixels:
        raise DoesNotFit(f"{key} of {value} px in the paper has no counterpart at this scale")
    return pixels[value]
