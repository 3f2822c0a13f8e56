"""Findings for code scanners in SARIF 2.1.0: every code is a rule, every finding a result at its line."""

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Any

from tierup.findings.explanations import EXPLAINED, worst_severity
from tierup.findings.model import Code, Finding
from tierup.findings.secrets import redacted
from tierup.report import Report, clean

SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
_ROOT = "%SRCROOT%"  # by convention, the root folder of the repository
_CODES = tuple(Code)


def as_sarif(report: Report, version: str) -> str:
    """The log of one run; `version` is the version of tierup."""
    counts: Counter[str] = Counter()
    results = [_result(report, finding, line, counts) for finding, line in report.ordered]
    return log(f"tierup-plan/{report.stack}/", [_rule(code) for code in _CODES], results, version)


def log(category: str, rules: Sequence[Any], results: Sequence[Any], version: str) -> str:
    """The log of one run as text, without secrets. A later run of the same category replaces it."""
    run = {
        "tool": {"driver": {"name": "tierup", "semanticVersion": version, "rules": rules}},
        "automationDetails": {"id": category},
        "columnKind": "unicodeCodePoints",
        "results": results,
    }
    return json.dumps(clean({"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}), indent=2) + "\n"


def location(file: str, name: str, line: int | None = None) -> dict[str, Any]:
    """A SARIF location: a file relative to the project, its line if known, and a logical name."""
    uri = PurePosixPath("/", redacted(file)).as_uri().removeprefix("file:///")
    physical: dict[str, Any] = {"artifactLocation": {"uri": uri, "uriBaseId": _ROOT}}
    if line is not None:
        physical["region"] = {"startLine": line}
    return {"physicalLocation": physical, "logicalLocations": [{"fullyQualifiedName": name}]}


def _rule(code: Code) -> dict[str, Any]:
    # No helpUri: it must be absolute, but the page is in the checkout.
    explanation = EXPLAINED[code]
    page = f"docs/findings.md#{code.lower()}"
    return {
        "id": str(code),
        "name": code.name.title().replace("_", ""),
        "shortDescription": {"text": f"{explanation.title}."},
        "fullDescription": {"text": explanation.meaning},
        "help": {
            "text": f"{explanation.meaning} Fix: {explanation.fix} See {page}.",
            "markdown": f"{explanation.meaning}\n\nFix: {explanation.fix}\n\nSee `{page}`.",
        },
        "defaultConfiguration": {"level": str(worst_severity(code))},
    }


def _result(report: Report, finding: Finding, line: int | None, counts: Counter[str]) -> dict[str, Any]:
    return {
        "ruleId": str(finding.code),
        "ruleIndex": _CODES.index(finding.code),
        "level": str(finding.severity),
        "message": {"text": f"{finding.path}: {finding.what} - {finding.fix}"},
        "locations": [location(report.file, finding.path, line)],
        "partialFingerprints": {"tierupFinding/v1": _fingerprint(report.stack, finding, counts)},
        "suppressions": _suppressions(finding),
    }


def _fingerprint(stack: str, finding: Finding, counts: Counter[str]) -> str:
    """Stays the same when lines move or figures change. It is readable text; a hash could hide a secret in it."""
    name = redacted(f"{stack} {finding.code} {finding.path}")
    counts[name] += 1
    return f"{name} {counts[name]}"


def _suppressions(finding: Finding) -> list[dict[str, str]]:
    """Empty if the finding is not accepted: if one result has the key, every result needs it."""
    if finding.accepted is None:
        return []
    return [{"kind": "inSource", "status": "accepted", "justification": finding.accepted}]
