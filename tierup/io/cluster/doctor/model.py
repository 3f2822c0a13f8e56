"""What the doctor says about one part of a cluster."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from tierup.findings.model import Code, Finding, Severity, on_one_line
from tierup.findings.secrets import redacted


class Status(StrEnum):
    """The result of a check; only a problem stops a deployment or the service."""

    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"
    NOT_CHECKED = "not checked"


@dataclass(frozen=True, slots=True)
class Check:
    """One result: what was found, and what to do about it; `code` is that of the finding behind it."""

    name: str
    status: Status
    found: str
    fix: str | None = None
    code: Code | None = None

    def __post_init__(self) -> None:
        # Names and messages come from a server: none may move a terminal's cursor or show a secret.
        object.__setattr__(self, "found", on_one_line(redacted(self.found)))
        if self.fix is not None:
            object.__setattr__(self, "fix", on_one_line(redacted(self.fix)))


def ok(name: str, found: str) -> Check:
    """Nothing to do."""
    return Check(name, Status.OK, found)


def warning(name: str, found: str, fix: str) -> Check:
    """The service runs, with less than it could have."""
    return Check(name, Status.WARNING, found, fix)


def problem(name: str, found: str, fix: str) -> Check:
    """The deployment or the service would fail."""
    return Check(name, Status.PROBLEM, found, fix)


def not_checked(name: str, found: str, fix: str | None = None) -> Check:
    """Nothing is known; `fix` says how to find out."""
    return Check(name, Status.NOT_CHECKED, found, fix)


def of_findings(name: str, findings: Iterable[Finding]) -> list[Check]:
    """A result for each finding; one that the stack file accepts is ok."""
    return [_of_finding(name, item) for item in findings]


def _of_finding(name: str, finding: Finding) -> Check:
    status = Status.PROBLEM if finding.severity is Severity.ERROR else Status.WARNING
    if finding.accepted is not None or finding.severity is Severity.NOTE:
        status = Status.OK
    return Check(name, status, f"{finding.path}: {finding.what}", finding.fix_or_reason, finding.code)
