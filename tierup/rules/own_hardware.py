"""Reports what is wrong with the GPUs and servers that a stack file brings itself."""

from collections.abc import Iterable, Iterator

from tierup.catalog import EntryProblem
from tierup.findings.model import Code, Finding

_SHOULD_BE = "Input should be "  # how pydantic begins
_FIX = "write it as docs/catalog.md shows"


def entries(problems: Iterable[EntryProblem]) -> Iterator[Finding]:
    """One finding for each problem."""
    for item in problems:
        fix = item.fix if item.fix is not None else _FIX
        problem, allowed = item.what, item.allowed
        if problem.startswith(_SHOULD_BE):
            problem, allowed = "has a wrong value", problem.removeprefix(_SHOULD_BE)
        yield Finding(Code.OWN_ENTRY, f"catalog.{item.where}", problem, fix, item.got, allowed)
