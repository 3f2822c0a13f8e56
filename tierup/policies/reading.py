"""Decides how a plan is read that nobody checked: what is malformed is not there, what is unknown stays unknown."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tierup.resources import SECRET, UNKNOWN

# Pulumi's words for unknown values of the types it tells apart; UNKNOWN is the one for text, and for all in JSON.
_UNKNOWNS = frozenset(
    {
        UNKNOWN,
        "1c4a061d-8072-4f0a-a4cb-0ff528b18fe7",
        "3eeb2bf0-c639-47a8-9e75-3b44932eb421",
        "6a19a0b0-7e62-4c92-b797-7f8e31da9cc2",
        "030794c1-ac77-496b-92df-f27374a8bd58",
        "e48ece36-62e2-4504-bad9-02848725956a",
        "dd056dcd-154b-4c76-9bd3-c8f88648b5ff",
    }
)


def is_unknown(value: object) -> bool:
    """Whether a value will be known only once it exists."""
    return isinstance(value, str) and value in _UNKNOWNS


def is_hidden(value: object) -> bool:
    """Whether the plan does not tell the value: it is unknown, or secret."""
    return is_unknown(value) or value == SECRET


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
