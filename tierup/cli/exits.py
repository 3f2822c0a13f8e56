"""Decides how a command ends: its exit code, and whether what it prints has colours."""

import os
from collections.abc import Iterable

from rich.console import Console

from tierup.findings.model import BUDGET_CODES, Finding, errors

EXIT_FINDINGS, EXIT_USAGE, EXIT_OVER_BUDGET, EXIT_UNPRICED = 1, 2, 3, 4
EXIT_CODES = (
    "Exit codes: 0 ok, 1 bad config or findings, 2 usage, 3 over budget and nothing else, "
    "4 unpriced under --strict."
)


class UsageError(Exception):
    """The command cannot be carried out here."""


def exit_code(findings: Iterable[Finding]) -> int:
    """Warnings and notes end well; a budget that is the only error has a code of its own."""
    codes = {finding.code for finding in errors(findings)}
    if not codes:
        return 0
    return EXIT_OVER_BUDGET if codes <= BUDGET_CODES else EXIT_FINDINGS


def console() -> Console:
    """Standard output; colours and bold only on a terminal, and never where NO_COLOR is set."""
    return Console(color_system=None if os.environ.get("NO_COLOR") else "auto")


def examples(*lines: str) -> str:
    """The end of a command's help: each example on a line of its own."""
    return "\n\n".join(("Examples:" if len(lines) > 1 else "Example:", *lines))
