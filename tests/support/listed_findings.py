"""Which findings the reference of the stack file's keys does not list at their key."""

import re
from collections.abc import Iterable

from tierup.findings.model import Code, Finding
from tierup.findings.paths import REPORTED_AT
from tierup.stack.parse import SECTIONS
from tierup.stack.reference import keys

PATHS = frozenset({key.path for key in keys()} | set(SECTIONS))
# Problems of form occur at any key, and a secret without a caller has no key.
FORM = frozenset(
    {code for code in Code if int(code.removeprefix("TIER")) <= 13} | {Code.MORE_PROBLEMS, Code.UNUSED_KEY}
)


def not_listed(findings: Iterable[Finding]) -> set[tuple[Code, str]]:
    """Code and key of each finding that is listed neither at its key nor at one that holds it."""
    found = {(item.code, _general(item.path)) for item in findings if item.code not in FORM}
    return {(code, path) for code, path in found if not set(_holders(path)) & set(REPORTED_AT.get(code, ()))}


def _general(path: str) -> str:
    """The path with `[]` and NAME in place of indices and chosen names."""
    path = re.sub(r"\[\d+\]", "[]", path)
    for holder in ("workload.classes", "gateway.keys", "gateway.aliases", "cost.quotes"):
        path = re.sub(rf"^({holder})\.[^.]+", r"\1.NAME", path)
    return path


def _holders(path: str) -> Iterable[str]:
    """The path, and the nearest keys around it up to its section."""
    while path:
        yield path
        yield path.removesuffix("[]").removesuffix(".NAME")
        path = path.rpartition(".")[0]
