"""Decides what every report of a plan holds, whatever its format; the formats are its modules."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tierup.findings.model import Finding, Severity, errors, open_warnings, redacted

MOST_GRAVE_FIRST = (Severity.ERROR, Severity.WARNING, Severity.NOTE)


@dataclass(frozen=True, slots=True)
class Report:
    """What a run of `tierup plan` found; `file` is relative to the project.

    `lines` has the line of the file for each finding, None where it is not known; `summary` is the plan as plain
    data and `headline` the same in a few lines, both empty when there is an error.
    """

    stack: str
    file: str
    findings: tuple[Finding, ...]
    lines: tuple[int | None, ...]
    summary: Mapping[str, Any]
    headline: tuple[str, ...]

    def __post_init__(self) -> None:
        if len(self.lines) != len(self.findings):
            raise ValueError("each finding has its line, or None")

    @property
    def told(self) -> list[tuple[Finding, int | None]]:
        """Findings with their lines: errors first, then warnings and notes, accepted ones last."""
        pairs = zip(self.findings, self.lines, strict=True)
        return sorted(
            pairs, key=lambda pair: (pair[0].accepted is not None, MOST_GRAVE_FIRST.index(pair[0].severity))
        )

    def count(self) -> dict[str, int]:
        """How many of each kind are open, and how many are accepted."""
        notes = [item for item in self.findings if item.severity is Severity.NOTE and item.accepted is None]
        return {
            "errors": len(errors(self.findings)),
            "warnings": len(open_warnings(self.findings)),
            "notes": len(notes),
            "accepted": sum(item.accepted is not None for item in self.findings),
        }


def clean(value: Any) -> Any:
    """Plain data with every text in it, keys too, redacted of secrets."""
    if isinstance(value, str):
        return redacted(value)
    if isinstance(value, Mapping):
        return {redacted(str(key)): clean(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [clean(item) for item in value]
    return value
