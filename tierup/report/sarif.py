"""Decides how findings read to code scanners: SARIF 2.1.0, every code as a rule, every finding at its line."""

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Any

from tierup.findings.explanations import EXPLAINED, gravest
from tierup.findings.model import Code, Finding, redacted
from tierup.report import Report, clean

SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
_ROOT = "%SRCROOT%"  # by convention, the folder that the file's path starts from
_CODES = tuple(Code)


def render(report: Report, version: str) -> str:
    """A log of one run; `version` is the tool's own."""
    seen: Counter[str] = Counter()
    results = [_result(report, finding, line, seen) for finding, line in report.told]
    return log(f"tierup-plan/{report.stack}/", [_rule(code) for code in _CODES], results, version)


def log(category: str, rules: Sequence[Any], results: Sequence[Any], version: str) -> str:
    """A log of one run as text, free of secrets; a later run of the same category takes its place."""
    run = {
        "tool": {"driver": {"name": "tierup", "semanticVersion": version, "rules": rules}},
        "automationDetails": {"id": category},
        "columnKind": "unicodeCodePoints",
        "results": results,
    }
    return json.dumps(clean({"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}), indent=2) + "\n"


def location(file: str, name: str, line: int | None = None) -> dict[str, Any]:
    """A place: a file relative to the project, its line if that is known, and what is there."""
    uri = PurePosixPath("/", redacted(file)).as_uri().removeprefix("file:///")
    place: dict[str, Any] = {"artifactLocation": {"uri": uri, "uriBaseId": _ROOT}}
    if line is not None:
        place["region"] = {"startLine": line}
    return {"physicalLocation": place, "logicalLocations": [{"fullyQualifiedName": name}]}


def _rule(code: Code) -> dict[str, Any]:
    # No helpUri: it has to be absolute, and only the help's text can say where in the checkout the page is.
    said = EXPLAINED[code]
    page = f"docs/findings.md#{code.lower()}"
    return {
        "id": str(code),
        "name": code.name.title().replace("_", ""),
        "shortDescription": {"text": f"{said.title}."},
        "fullDescription": {"text": said.meaning},
        "help": {
            "text": f"{said.meaning} Fix: {said.fix} See {page}.",
            "markdown": f"{said.meaning}\n\nFix: {said.fix}\n\nSee `{page}`.",
        },
        "defaultConfiguration": {"level": str(gravest(code))},
    }


def _result(report: Report, finding: Finding, line: int | None, seen: Counter[str]) -> dict[str, Any]:
    return {
        "ruleId": str(finding.code),
        "ruleIndex": _CODES.index(finding.code),
        "level": str(finding.severity),
        "message": {"text": f"{finding.path}: {finding.what} - {finding.fix}"},
        "locations": [location(report.file, finding.path, line)],
        "partialFingerprints": {"tierupFinding/v1": _fingerprint(report.stack, finding, seen)},
        "suppressions": _suppressions(finding),
    }


def _fingerprint(stack: str, finding: Finding, seen: Counter[str]) -> str:
    """The same for the same problem when lines move or figures change; in clear, since no secret is hashed."""
    name = redacted(f"{stack} {finding.code} {finding.path}")
    seen[name] += 1
    return f"{name} {seen[name]}"


def _suppressions(finding: Finding) -> list[dict[str, str]]:
    """Empty where nothing is accepted: once one result has the key, every result needs it."""
    if finding.accepted is None:
        return []
    return [{"kind": "inSource", "status": "accepted", "justification": finding.accepted}]
