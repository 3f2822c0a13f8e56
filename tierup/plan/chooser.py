"""Keeps a value of the stack file, or takes a default and notes its reason."""

from typing import TypeVar

from tierup.plan.model import Default

_T = TypeVar("_T")


class Chooser:
    """Collects every default that a plan takes."""

    def __init__(self) -> None:
        self.defaults: list[Default] = []

    def pick(self, path: str, value: _T | None, default: _T, why: str) -> _T:
        """The value of the stack file, else the default, which is noted."""
        if value is None:
            self.note(path, default, why)
            return default
        return value

    def note(self, path: str, default: object, why: str) -> None:
        """A default that is no single value of the plan, or is the absence of one."""
        shown = str(default).lower() if isinstance(default, bool) else str(default)
        shown = f"{default:g}" if isinstance(default, float) else shown
        self.defaults.append(Default(path, shown, why))
