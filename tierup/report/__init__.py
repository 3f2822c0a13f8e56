"""A report of a plan: the same content for every format. Each format is a module of this package."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tierup.findings.model import Finding, Severity, errors, open_warnings
from tierup.findings.secrets import redacted

WORST_FIRST = (Severity.ERROR, Severity.WARNING, Severity.NOTE)


@dataclass(frozen=True, slots=True)
class Report:
    """The result of a run of `tierup plan`; `file` is relative to the project.

    `lines` holds the line in the file for each finding, None if it is unknown. `summary` is the plan as plain data and
    `headline` the same in a few lines; both are empty if there is an error.
    """

    stack: str
    file: str
    findings: tuple[Finding, ...]
    lines: tuple[int | None, ...]
    summary: Mapping[str, Any]
    headline: tuple[str, ...]

    def __post_init__(self) -> None:
        if len(self.lines) != len(self.findings):
            raise ValueError("each finding needs an entry in `lines`")

    @property
    def ordered(self) -> list[tuple[Finding, int | None]]:
        """Findings with their lines: errors first, then warnings, then notes; accepted ones last."""
        pairs = zip(self.findings, self.lines, strict=True)
        return sorted(
            pairs, key=lambda pair: (pair[0].accepted is not None, WORST_FIRST.index(pair[0].severity))
        )

    def count(self) -> dict[str, int]:
        """The number of open findings of each kind, and of accepted ones."""
        notes = [item for item in self.findings if item.severity is Severity.NOTE and item.accepted is None]
        return {
            "errors": len(errors(self.findings)),
            "warnings": len(open_warnings(self.findings)),
            "notes": len(notes),
            "accepted": sum(item.accepted is not None for item in self.findings),
        }


def clean(value: Any) -> Any:
    """Plain data with secrets redacted in every text, keys included."""
    if isinstance(value, str):
        return redacted(value)
    if isinstance(value, Mapping):
        return {redacted(str(key)): clean(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [clean(item) for item in value]
    return value
