#!/usr/bin/env python3
"""Convert the findings of `tierup plan --json` to GitLab's code quality report.

tierup plan --stack STACK --json | code_quality.py >gl-code-quality-report.json
"""

import hashlib
import json
import sys
from typing import Any

_SEVERITIES = {"error": "blocker", "warning": "minor", "note": "info"}


def issues(plan: dict[str, Any]) -> list[dict[str, Any]]:
    """One issue per open finding; accepted findings are left out. A finding without a line is shown at line 1."""
    return [_issue(plan, finding) for finding in plan["findings"] if finding["accepted"] is None]


def _issue(plan: dict[str, Any], finding: dict[str, Any]) -> dict[str, Any]:
    # Without the line, so that a finding that moves stays the same issue.
    identity = "\n".join((plan["file"], finding["code"], finding["path"], finding["problem"]))
    line = finding["line"] if finding["line"] is not None else 1
    return {
        "description": finding["message"],
        "check_name": finding["code"],
        "fingerprint": hashlib.sha256(identity.encode()).hexdigest(),
        "severity": _SEVERITIES[finding["severity"]],
        "location": {"path": plan["file"], "lines": {"begin": line}},
    }


def main() -> int:
    try:
        report = issues(json.load(sys.stdin))
    except ValueError as error:
        print(f"error: this is not the JSON of `tierup plan`: {error}", file=sys.stderr)
        return 2
    json.dump(report, sys.stdout, indent=2)
    print()
    return 0


if __name__ == "__main__":
    sys.exit(main())
