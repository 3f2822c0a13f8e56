"""A report of policy violations: as lines, as JSON (docs/policies.md) or as SARIF."""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tierup.findings.model import MOST_OF_A_KIND, counted, on_one_line
from tierup.policies.budget import BUDGETS
from tierup.policies.pack import RESOURCE_POLICIES
from tierup.policies.rule import Level, Policy, Violation
from tierup.report import clean
from tierup.report.sarif import location, log

POLICIES: tuple[Policy, ...] = (*RESOURCE_POLICIES, *BUDGETS.values())
_LEVELS = {Level.MANDATORY: "error", Level.ADVISORY: "warning"}  # as SARIF has them


@dataclass(frozen=True, slots=True)
class PolicyReport:
    """The violations in `resources` checked resources; `file` is their location in a code scanner."""

    file: str
    resources: int
    violations: tuple[Violation, ...]

    @property
    def ordered(self) -> list[Violation]:
        """The violations, mandatory ones first."""
        return sorted(self.violations, key=lambda item: item.policy.level is not Level.MANDATORY)

    def count(self, level: Level) -> int:
        return sum(item.policy.level is level for item in self.violations)


def lines(report: PolicyReport) -> Iterator[str]:
    """One line for each of the first violations of a policy, then one for its others, then a line with the counts."""
    violations: Counter[Policy] = Counter()
    for item in report.ordered:
        violations[item.policy] += 1
        if violations[item.policy] <= MOST_OF_A_KIND:
            text = f"{item.policy.level} {item.policy.name}: {_kind(item)} {item.resource}: {item.message}"
            yield on_one_line(text)
    for policy, number in violations.items():
        if number > MOST_OF_A_KIND:
            more = counted(number - MOST_OF_A_KIND, "more violation")
            yield f"{policy.level} {policy.name}: {more} - fix those above first, or see --json"
    counts = ", ".join(f"{report.count(level)} {level}" for level in (Level.MANDATORY, Level.ADVISORY))
    yield f"resources: {report.resources}, violations: {len(report.violations)} ({counts})"


def as_json(report: PolicyReport) -> str:
    """One JSON object as text; `ok` is true if no mandatory policy is violated."""
    tree = {
        "ok": not report.count(Level.MANDATORY),
        "resources": report.resources,
        "counts": {str(level): report.count(level) for level in (Level.MANDATORY, Level.ADVISORY)},
        "violations": [
            {
                "policy": item.policy.name,
                "level": str(item.policy.level),
                "urn": item.urn,
                "resource": item.resource,
                "path": item.problem.path,
                "problem": item.what,
                "fix": item.fix,
                "message": item.message,
            }
            for item in report.ordered
        ],
    }
    return json.dumps(clean(tree), indent=2) + "\n"


def as_sarif(report: PolicyReport, version: str) -> str:
    """The log of one run; `version` is the version of tierup."""
    counts: Counter[str] = Counter()
    results = [_result(report.file, item, counts) for item in report.ordered]
    return log("tierup-policy/", [_rule(policy) for policy in POLICIES], results, version)


def _kind(item: Violation) -> str:
    return item.urn.rpartition("::")[0].rpartition("::")[2].rpartition("$")[2].rpartition(":")[2]


def _rule(policy: Policy) -> dict[str, Any]:
    return {
        "id": policy.name,
        "shortDescription": {"text": policy.rule},
        "help": {"text": f"{policy.rule} Fix: {policy.fix}. See docs/policies.md."},
        "defaultConfiguration": {"level": _LEVELS[policy.level]},
    }


def _result(file: str, item: Violation, counts: Counter[str]) -> dict[str, Any]:
    name = f"{item.urn} {item.policy.name} {item.problem.path}"
    counts[name] += 1
    return {
        "ruleId": item.policy.name,
        "ruleIndex": [policy.name for policy in POLICIES].index(item.policy.name),
        "level": _LEVELS[item.policy.level],
        "message": {"text": f"{item.resource}: {item.message}"},
        "locations": [location(file, f"{item.urn} {item.problem.path}")],
        "partialFingerprints": {"tierupPolicy/v1": f"{name} {counts[name]}"},
    }
