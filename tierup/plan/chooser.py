"""Chooses between a value of the stack file and its default, and records every default with its reason."""

from typing import TypeVar

from tierup.plan.model import Default

_T = TypeVar("_T")


class Chooser:
    """Collects every default that a plan uses."""

    def __init__(self) -> None:
        self.defaults: list[Default] = []

    def pick(self, path: str, value: _T | None, default: _T, why: str) -> _T:
        """The value of the stack file, else the default, which is recorded."""
        if value is None:
            self.note(path, default, why)
            return default
        return value

    def note(self, path: str, default: object, why: str) -> None:
        """Records a default for which the plan has no single value, or none at all."""
        shown = str(default).lower() if isinstance(default, bool) else str(default)
        shown = f"{default:g}" if isinstance(default, float) else shown
        self.defaults.append(Default(path, shown, why))
