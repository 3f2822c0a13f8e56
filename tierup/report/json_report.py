"""Decides what a program reads of a plan: one JSON object (docs/plan-json.md says what each key means)."""

import json

from tierup.findings.model import Finding
from tierup.report import Report, clean


def render(report: Report) -> str:
    """The object as text; `ok` is whether nothing is an error, and then the plan's own keys are there too."""
    counts = report.count()
    tree = {
        "stack": report.stack,
        "file": report.file,
        "ok": not counts["errors"],
        "counts": counts,
        "findings": [as_data(finding, line) for finding, line in report.told],
        **{key: value for key, value in report.summary.items() if key != "stack"},
    }
    return json.dumps(clean(tree), indent=2) + "\n"


def as_data(finding: Finding, line: int | None) -> dict[str, object]:
    """One finding, with its line in the stack file where it is known."""
    return {
        "code": str(finding.code),
        "name": finding.code.name,
        "severity": str(finding.severity),
        "path": finding.path,
        "line": line,
        "problem": finding.problem,
        "got": finding.got,
        "allowed": finding.allowed,
        "fix": finding.fix,
        "accepted": finding.accepted,
        "message": str(finding),
    }
