"""Every key that a stack file may have, read from its JSON Schema: path, type, unit, example and description."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tierup.stack.parse import LISTS, REQUIRED, SECTIONS
from tierup.stack.schema import Schema, json_schema

NAME = "NAME"  # a key that the file chooses, such as the name of a class
OR_SECTION = ", or section"  # of a key that has a value of its own, or holds others
_NUMBERS = {"integer": "whole number", "number": "number"}
_SIMPLE = _NUMBERS | {"boolean": "`true` or `false`", "string": "text", "date": "date"}


@dataclass(frozen=True, slots=True)
class Key:
    """One key. `path` has `[]` for an entry of a list and NAME for a chosen name.

    `example` is None if the key holds other keys.
    """

    path: str
    about: str
    type: str
    required: bool
    unit: str | None = None
    example: object = None

    @property
    def section(self) -> str:
        """The name of its section."""
        return self.path.partition(".")[0].removesuffix("[]")

    @property
    def is_number(self) -> bool:
        """Whether its value is a number."""
        return self.type.startswith(tuple(_NUMBERS.values()))


def sections() -> dict[str, str]:
    """Each section with its description."""
    parts = json_schema()["$defs"]
    return {name: parts[kind.__name__]["description"] for name, kind in SECTIONS.items()}


def keys() -> Iterator[Key]:
    """All keys in the order of the file; a key that holds others comes before them."""
    parts = json_schema()["$defs"]
    for name, kind in SECTIONS.items():
        path = f"{name}[]" if name in LISTS else name
        yield Key(path, parts[kind.__name__]["description"], _outer(name), name in REQUIRED)
        yield from _keys_of(parts[kind.__name__], path, parts)


def _outer(section: str) -> str:
    return "list of sections" if section in LISTS else "section"


def _keys_of(part: Schema, path: str, parts: Schema) -> Iterator[Key]:
    for name, spec in part["properties"].items():
        at, value = f"{path}.{name}", _value(spec, parts)
        example = spec.get("examples", [None])[0]
        sections = [form for form in _other_forms(spec, parts) if "properties" in form]
        yield Key(
            at,
            spec.get("description", ""),
            _type(value, parts) + OR_SECTION * bool(sections),
            name in part.get("required", ()),
            spec.get("unit"),
            example,
        )
        for form in (value, *sections):
            if "properties" in form:
                yield from _keys_of(form, at, parts)
        entries = _value(value["items"], parts) if "items" in value else {}
        if "properties" in entries:
            yield from _keys_of(entries, f"{at}[]", parts)
        for entry in _named(value, parts):
            if "properties" in entry:
                yield from _keys_of(entry, f"{at}.{NAME}", parts)


def _value(spec: Schema, parts: Schema) -> Schema:
    """What a value must be: without null, and without the text that a decimal may be written as."""
    while True:
        if "$ref" in spec:
            spec = parts[spec["$ref"].rpartition("/")[2]]
        elif "anyOf" in spec:
            spec = spec["anyOf"][0]
        elif "oneOf" in spec:
            spec = spec["oneOf"][0]
        elif "allOf" in spec and "properties" not in spec:
            spec = spec["allOf"][0]
        else:
            return spec


def _other_forms(spec: Schema, parts: Schema) -> list[Schema]:
    """What a value may be instead, where it has several forms: an object beside `true` and `false`."""
    for name in ("anyOf", "oneOf"):
        if name in spec:
            return _other_forms(spec[name][0], parts) + [_value(form, parts) for form in spec[name][1:]]
    return []


def _named(value: Schema, parts: Schema) -> list[Schema]:
    """What a mapping from chosen names holds; empty for other values."""
    found = list(value.get("patternProperties", {}).values())
    if isinstance(value.get("additionalProperties"), dict):
        found.append(value["additionalProperties"])
    return [_value(item, parts) for item in found]


def _type(value: Schema, parts: Schema) -> str:
    if "enum" in value:
        return f"one of {', '.join(f'`{item}`' for item in value['enum'] if item is not None)}"
    if "type" not in value:
        return "any value"
    kind: str = value["type"]
    if kind == "array":
        entries = _value(value["items"], parts)
        return f"list of {'sections' if 'properties' in entries else _type(entries, parts)}"
    if kind == "object":
        held = _named(value, parts)
        inner = "sections" if held and "properties" in held[0] else ", ".join(_type(h, parts) for h in held)
        return f"mapping of names to {inner}" if held else "section"
    return _SIMPLE["date" if value.get("format") == "date" else kind] + _bounds(value)


def _bounds(value: Any) -> str:
    words = (
        ("minimum", "at least"),
        ("exclusiveMinimum", "above"),
        ("maximum", "at most"),
        ("exclusiveMaximum", "below"),
    )
    said = [f"{word} {value[name]:,g}" for name, word in words if name in value]
    return f", {', '.join(said)}" if said else ""
