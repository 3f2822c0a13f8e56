"""The doctor's results as lines for a person and as JSON for a program."""

import json
from collections import Counter
from collections.abc import Iterable

from tierup.cli.exits import console
from tierup.cli.tables import print_line
from tierup.findings.model import counted
from tierup.io.cluster.doctor.model import Check, Status

_STYLES = {Status.OK: "green", Status.WARNING: "yellow", Status.PROBLEM: "red", Status.NOT_CHECKED: "dim"}
_STATUS, _NAME = 13, 13  # widths of the columns: the longest words are `not checked` and `permissions`


def print_checks(results: Iterable[Check]) -> list[Check]:
    """Print each result as it comes, and a summary; returns them all."""
    out, checks = console(), []
    for check in results:
        code = f"{check.code} " if check.code is not None else ""
        head = f"{check.status:<{_STATUS}}{check.name:<{_NAME}}"
        print_line(f"{head}{code}{check.found}", out, _STYLES[check.status], indent=len(head))
        if check.fix is not None:
            print_line(f"{'':{len(head)}}- {check.fix}", out, indent=len(head) + 2)
        out.file.flush()
        checks.append(check)
    out.print()
    print_line(_summary(checks), out)
    return checks


def _summary(checks: Iterable[Check]) -> str:
    statuses = Counter(check.status for check in checks)
    parts = [counted(statuses[Status.PROBLEM], "problem"), counted(statuses[Status.WARNING], "warning")]
    if statuses[Status.NOT_CHECKED]:
        parts.append(f"{statuses[Status.NOT_CHECKED]} not checked")
    verdict = "not ready" if statuses[Status.PROBLEM] else "ready as far as checked"
    return f"{verdict}: {', '.join(parts)}"


def as_json(stack: str, checks: Iterable[Check]) -> str:
    """The results as JSON; docs/doctor.md describes the keys."""
    listed = list(checks)
    report = {
        "version": 1,
        "stack": stack,
        "ready": all(check.status is not Status.PROBLEM for check in listed),
        "checks": [
            {
                "name": check.name,
                "status": check.status,
                "found": check.found,
                "fix": check.fix,
                "code": check.code,
            }
            for check in listed
        ],
    }
    return json.dumps(report, indent=2)
