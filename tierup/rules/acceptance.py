"""Decides which findings a stack file accepts, and what an acceptance must not be: of an error, or of nothing.

A code that is only ever an error cannot be accepted at all; one that can be both is accepted where it is a
warning or a note. Acceptances speak of what the rules say, not of each other.
"""

import dataclasses
from collections.abc import Iterable

from tierup.findings.explanations import NOT_IN_PLANS, always_error
from tierup.findings.model import Code, Finding, Severity, warning
from tierup.stack.sections import Acceptance


def apply(findings: Iterable[Finding], accept: tuple[Acceptance, ...], complete: bool) -> tuple[Finding, ...]:
    """The findings, the accepted ones marked, and what is wrong with acceptances.

    `complete` says whether every rule has spoken; else that nothing matches proves nothing.
    """
    told = tuple(findings)
    own = [
        found
        for index, item in enumerate(accept)
        if (found := _problem(item, f"accept[{index}]", told, complete)) is not None
    ]
    return (*marked(told, accept), *own)


def marked(findings: Iterable[Finding], accept: tuple[Acceptance, ...]) -> tuple[Finding, ...]:
    """The findings, the accepted ones marked."""
    return tuple(_marked(finding, accept) for finding in findings)


def _covers(item: Acceptance, finding: Finding) -> bool:
    return item.code is finding.code and item.path in (None, finding.path)


def _marked(finding: Finding, accept: tuple[Acceptance, ...]) -> Finding:
    if finding.severity is Severity.ERROR:
        return finding
    reason = next((item.reason for item in accept if _covers(item, finding)), None)
    return finding if reason is None else dataclasses.replace(finding, accepted=" ".join(reason.split()))


def _problem(item: Acceptance, at: str, told: tuple[Finding, ...], complete: bool) -> Finding | None:
    covered = [finding for finding in told if _covers(item, finding)]
    if always_error(item.code) or any(finding.severity is Severity.ERROR for finding in covered):
        problem = f"{item.code} is an error, which no reason makes work"
        fix = "mend its cause and remove this entry"
        allowed = "a warning or a note"
        return Finding(Code.NOT_ACCEPTABLE, f"{at}.code", problem, fix, str(item.code), allowed)
    if covered or not complete or item.code in NOT_IN_PLANS:
        return None
    places = sorted({finding.path for finding in told if finding.code is item.code})
    problem = "accepts a warning that is not told" + (" at this path" if places else "")
    fix = f"write path: {places[0]}, or remove the entry" if places else "remove the entry"
    return warning(Code.STALE_ACCEPTANCE, at, problem, fix, " at ".join(filter(None, (item.code, item.path))))
