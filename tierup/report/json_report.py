"""A plan as one JSON object for programs; docs/plan-json.md documents the keys."""

import json

from tierup.findings.model import Finding
from tierup.report import Report, clean


def as_json(report: Report) -> str:
    """The object as text. `ok` is true if there are no errors; only then the keys of the plan are included."""
    counts = report.count()
    tree = {
        "stack": report.stack,
        "file": report.file,
        "ok": not counts["errors"],
        "counts": counts,
        "findings": [as_data(finding, line) for finding, line in report.ordered],
        **{key: value for key, value in report.summary.items() if key != "stack"},
    }
    return json.dumps(clean(tree), indent=2) + "\n"


def as_data(finding: Finding, line: int | None) -> dict[str, object]:
    """One finding as plain data, with its line in the stack file if known."""
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
