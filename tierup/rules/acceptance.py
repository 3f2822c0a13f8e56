"""Applies the acceptances of a stack file to the findings, and checks the acceptances themselves.

An acceptance must match at least one warning or note. A code that is always an error cannot be accepted; a code that
can be both is accepted where it is a warning or a note. Findings about acceptances cannot be accepted.
"""

import dataclasses
from collections.abc import Iterable

from tierup.findings.explanations import NOT_IN_PLANS, always_error
from tierup.findings.model import Code, Finding, Severity, warning
from tierup.stack.sections import Acceptance


def apply(findings: Iterable[Finding], accept: tuple[Acceptance, ...], complete: bool) -> tuple[Finding, ...]:
    """The findings, with accepted ones marked, and the findings about the acceptances.

    `complete` is whether every rule was run. If not, an acceptance that matches nothing is not reported.
    """
    reported = tuple(findings)
    problems = [
        problem
        for index, item in enumerate(accept)
        if (problem := _problem(item, f"accept[{index}]", reported, complete)) is not None
    ]
    return (*marked(reported, accept), *problems)


def marked(findings: Iterable[Finding], accept: tuple[Acceptance, ...]) -> tuple[Finding, ...]:
    """The findings, with accepted ones marked."""
    return tuple(_marked(finding, accept) for finding in findings)


def _matches(item: Acceptance, finding: Finding) -> bool:
    return item.code is finding.code and item.path in (None, finding.path)


def _marked(finding: Finding, accept: tuple[Acceptance, ...]) -> Finding:
    if finding.severity is Severity.ERROR:
        return finding
    reason = next((item.reason for item in accept if _matches(item, finding)), None)
    return finding if reason is None else dataclasses.replace(finding, accepted=" ".join(reason.split()))


def _problem(item: Acceptance, at: str, reported: tuple[Finding, ...], complete: bool) -> Finding | None:
    matching = [finding for finding in reported if _matches(item, finding)]
    if always_error(item.code) or any(finding.severity is Severity.ERROR for finding in matching):
        problem = f"{item.code} is an error, and an error cannot be accepted"
        fix = "fix its cause and remove this entry"
        allowed = "a warning or a note"
        return Finding(Code.NOT_ACCEPTABLE, f"{at}.code", problem, fix, str(item.code), allowed)
    if matching or not complete or item.code in NOT_IN_PLANS:
        return None
    places = sorted({finding.path for finding in reported if finding.code is item.code})
    problem = "accepts a warning that does not occur" + (" at this path" if places else "")
    fix = f"write path: {places[0]}, or remove the entry" if places else "remove the entry"
    return warning(Code.STALE_ACCEPTANCE, at, problem, fix, " at ".join(filter(None, (item.code, item.path))))
