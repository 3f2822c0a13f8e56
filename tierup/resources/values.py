"""Decides what a value in somebody's manifest says, so that no other program's plan can break a bill."""

from collections.abc import Mapping, Sequence
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


class NotTold(ValueError):
    """A value that a cost hangs on is secret, not known before `up`, or of no form that Kubernetes takes."""


def at(tree: Tree, *path: str) -> Tree:
    """The mapping at a path, empty where there is none. Raises `NotTold`."""
    for key in path:
        found = tree.get(key)
        if found is not None and not isinstance(found, Mapping):
            raise NotTold(key)
        tree = found if found is not None else {}
    return tree


def listed(tree: Tree, key: str) -> Sequence[Tree]:
    """The list of mappings under a key, empty where there is none. Raises `NotTold`."""
    found = tree.get(key)
    if found is None:
        return ()
    if not isinstance(found, list) or not all(isinstance(item, Mapping) for item in found):
        raise NotTold(key)
    return found


def text(tree: Tree, key: str) -> str | None:
    """The text under a key, None where there is none. Raises `NotTold`."""
    found = tree.get(key)
    if found is not None and (not isinstance(found, str) or found in (SECRET, UNKNOWN)):
        raise NotTold(key)
    return found


def quantity(said: object) -> Decimal:
    """A Kubernetes quantity as a number: bytes of "20Gi". Raises `NotTold`."""
    words = str(said)
    number = words.rstrip(_LETTERS)
    unit = _UNITS.get(words[len(number) :])
    try:
        value = Decimal(number) * unit if unit is not None else Decimal("NaN")
    except DecimalException:
        raise NotTold(words) from None
    if not value.is_finite() or not 0 <= value < _LARGEST:
        raise NotTold(words)
    return value


def whole(said: object) -> int:
    """A count. Raises `NotTold`."""
    value = quantity(said)
    if value != value.to_integral_value():
        raise NotTold(str(said))
    return int(value)
