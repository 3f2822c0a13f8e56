"""Reads manifests that nobody has checked: a value may be missing, malformed, or hidden by the plan.

There are two ways to read. Policies go on: what is malformed counts as missing, and what is hidden as `UNKNOWN`, so
that one bad object does not keep the others from being judged (`dig`, `elements`, `mappings`, `fields`). Costs
refuse: a sum that guesses is wrong, so a malformed or hidden value raises `Unreadable` and its object is reported as
not priced (`checked_mapping`, `checked_list`, `checked_text`, `quantity`, `whole_number`). What is missing is no
error in either.
"""

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal, DecimalException
from typing import Any

from tierup.resources.model import SECRET, UNKNOWN

Tree = Mapping[str, Any]
# Suffixes of Kubernetes' quantities (kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity).
_UNITS = {
    **{unit: Decimal(1000) ** power for power, unit in enumerate(("", "k", "M", "G", "T", "P", "E"))},
    **{unit: Decimal(1024) ** power for power, unit in enumerate(("Ki", "Mi", "Gi", "Ti", "Pi", "Ei"), 1)},
    "m": Decimal("0.001"),
}
_LETTERS = "".join(_UNITS)
_LARGEST = Decimal(2) ** 63  # more is no quantity


def is_hidden(value: object) -> bool:
    """Whether the plan hides the value: it is secret, or not known before `up`."""
    return value in (UNKNOWN, SECRET)


# Reading that goes on


def dig(value: object, *keys: str) -> Any:
    """The value under the keys: None where there is none, UNKNOWN where something on the way is hidden."""
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


def mappings(value: object) -> Iterator[tuple[int, Tree]]:
    """The mappings of a list, with their places in it."""
    for index, item in enumerate(elements(value)):
        if isinstance(item, Mapping):
            yield index, item


def fields(value: object) -> Tree:
    """The fields of a mapping; none of anything else."""
    return value if isinstance(value, Mapping) else {}


def is_other_than(value: object, *allowed: object) -> bool:
    """Whether a value is present, is known, and is none of those allowed."""
    return value is not None and not is_hidden(value) and value not in allowed


# Reading that refuses


class Unreadable(ValueError):
    """A value that is hidden, or of no form that Kubernetes takes."""


def checked_mapping(tree: Tree, *keys: str) -> Tree:
    """The mapping under the keys, empty where there is none. Raises `Unreadable`."""
    for key in keys:
        value = tree.get(key)
        if value is not None and not isinstance(value, Mapping):
            raise Unreadable(key)
        tree = value if value is not None else {}
    return tree


def checked_list(tree: Tree, key: str) -> Sequence[Tree]:
    """The list of mappings under a key, empty where there is none. Raises `Unreadable`."""
    value = tree.get(key)
    if value is None:
        return ()
    if not isinstance(value, list) or not all(isinstance(item, Mapping) for item in value):
        raise Unreadable(key)
    return value


def checked_text(tree: Tree, key: str) -> str | None:
    """The text under a key, None where there is none. Raises `Unreadable`."""
    value = tree.get(key)
    if value is not None and (not isinstance(value, str) or is_hidden(value)):
        raise Unreadable(key)
    return value


def quantity(value: object) -> Decimal:
    """A Kubernetes quantity as a number: bytes of "20Gi". Raises `Unreadable`."""
    text = str(value)
    digits = text.rstrip(_LETTERS)
    unit = _UNITS.get(text[len(digits) :])
    try:
        number = Decimal(digits) * unit if unit is not None else Decimal("NaN")
    except DecimalException:
        raise Unreadable(text) from None
    if not number.is_finite() or not 0 <= number < _LARGEST:
        raise Unreadable(text)
    return number


def whole_number(value: object) -> int:
    """A count. Raises `Unreadable`."""
    number = quantity(value)
    if number != number.to_integral_value():
        raise Unreadable(str(value))
    return int(number)
