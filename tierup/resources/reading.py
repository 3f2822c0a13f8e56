"""Decides how a plan is read that nobody checked: what is malformed is not there, what is unknown stays unknown."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tierup.resources.model import SECRET, UNKNOWN


def is_hidden(value: object) -> bool:
    """Whether the plan does not tell the value."""
    return value in (UNKNOWN, SECRET)


def dig(value: object, *keys: str) -> Any:
    """The value under the keys: None where there is none, UNKNOWN where the plan does not tell."""
    for key in keys:
        if is_hidden(value):
            return UNKNOWN
        if not isinstance(value, Mapping):
            return None
        value = value.get(key)
    return value


def elements(value: object) -> Sequence[Any]:
    """The elements of a list; none of anything else."""
    return value if isinstance(value, Sequence) and not isinstance(value, str | bytes) else ()


def mappings(value: object) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """The mappings of a list, with their places in it."""
    for index, item in enumerate(elements(value)):
        if isinstance(item, Mapping):
            yield index, item


def fields(value: object) -> Mapping[str, Any]:
    """The fields of a mapping; none of anything else."""
    return value if isinstance(value, Mapping) else {}


def said_wrong(value: object, *allowed: object) -> bool:
    """Whether a value is said, is known, and is none of those allowed."""
    return value is not None and not is_hidden(value) and value not in allowed
