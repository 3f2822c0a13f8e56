"""Exit codes of the commands, and the console they print to."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING, TextIO

from tierup.findings.model import BUDGET_CODES, FileError, Finding, FindingsError, TierError, errors

if TYPE_CHECKING:
    from rich.console import Console

EXIT_FINDINGS, EXIT_USAGE, EXIT_OVER_BUDGET, EXIT_UNPRICED = 1, 2, 3, 4
_UNWRAPPED = 10_000  # characters; Rich takes 80 where there is no terminal
EXIT_CLOSED_PIPE = 141  # as a shell reports a program that SIGPIPE has ended
EXIT_CODES = (
    "Exit codes: 0 ok, 1 bad config or findings, 2 usage or a file that fails, 3 over budget and nothing else, "
    "4 unpriced under --strict."
)


class UsageError(TierError):
    """A command's options are wrong, or it cannot run in this folder."""


def exit_code_of(error: TierError) -> int:
    """The exit code of a command that ends with this error."""
    if isinstance(error, FindingsError):
        return exit_code(error.findings)
    return EXIT_USAGE if isinstance(error, UsageError | FileError) else EXIT_FINDINGS


def exit_code(findings: Iterable[Finding]) -> int:
    """The exit code: 0 without errors; an exceeded budget that is the only error has a code of its own."""
    codes = {finding.code for finding in errors(findings)}
    if not codes:
        return 0
    return EXIT_OVER_BUDGET if codes <= BUDGET_CODES else EXIT_FINDINGS


def console(file: TextIO | None = None) -> Console:
    """Standard output, or a file; colours and bold only on a terminal, and never where NO_COLOR is set."""
    from rich.console import Console

    class Output(Console):
        def on_broken_pipe(self) -> None:
            raise BrokenPipeError  # Rich would end with 1, which means bad config; `main` has the right code

    out = Output(file=file, color_system=None if os.environ.get("NO_COLOR") else "auto")
    if not out.is_terminal and "COLUMNS" not in os.environ:
        out.width = _UNWRAPPED  # a pipe or a file has no width
    return out


def examples(*lines: str) -> str:
    """The end of a command's help: each example on a line of its own."""
    head = "Examples:" if len(lines) > 1 else "Example:"
    return "\n".join(("\b", head, *(f"  {line}" for line in lines)))  # \b: a paragraph that is not wrapped
