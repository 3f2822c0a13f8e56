"""Exit codes of the commands, and the console they print to."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING

from tierup.findings.model import BUDGET_CODES, Finding, FindingsError, TierError, errors

if TYPE_CHECKING:
    from rich.console import Console

EXIT_FINDINGS, EXIT_USAGE, EXIT_OVER_BUDGET, EXIT_UNPRICED = 1, 2, 3, 4
EXIT_CODES = (
    "Exit codes: 0 ok, 1 bad config or findings, 2 usage, 3 over budget and nothing else, "
    "4 unpriced under --strict."
)


class UsageError(TierError):
    """A command's options are wrong, or it cannot run in this folder."""


def exit_code_of(error: TierError) -> int:
    """The exit code of a command that ends with this error."""
    if isinstance(error, FindingsError):
        return exit_code(error.findings)
    return EXIT_USAGE if isinstance(error, UsageError) else EXIT_FINDINGS


def exit_code(findings: Iterable[Finding]) -> int:
    """The exit code: 0 without errors; an exceeded budget that is the only error has a code of its own."""
    codes = {finding.code for finding in errors(findings)}
    if not codes:
        return 0
    return EXIT_OVER_BUDGET if codes <= BUDGET_CODES else EXIT_FINDINGS


def console() -> Console:
    """Standard output; colours and bold only on a terminal, and never where NO_COLOR is set."""
    from rich.console import Console

    return Console(color_system=None if os.environ.get("NO_COLOR") else "auto")


def examples(*lines: str) -> str:
    """The end of a command's help: each example on a line of its own."""
    head = "Examples:" if len(lines) > 1 else "Example:"
    return "\n".join(("\b", head, *(f"  {line}" for line in lines)))  # \b: a paragraph that is not wrapped
