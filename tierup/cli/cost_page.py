"""Prints a cost as text, and computes the command's exit code."""

import sys
from collections.abc import Iterable, Sequence

from rich.console import Console

from tierup.cli.exits import EXIT_UNPRICED, exit_code
from tierup.cli.tables import print_line, print_table
from tierup.cost.report.figures import FindingOut, Table
from tierup.findings.model import Finding, Severity


def page(lines: Iterable[str], tables: Iterable[Table], findings: Iterable[FindingOut], out: Console) -> None:
    """Print lines, tables and findings; errors go to standard error."""
    for line in lines:
        print_line(line, out)
    out.print()
    for table in tables:
        _show(table, out)
    for item in findings:
        text = f"{item.severity}: {item.message}"
        if item.severity is Severity.ERROR:
            print(text, file=sys.stderr)
        else:
            print_line(text, out)


def _show(table: Table, out: Console) -> None:
    """Print a table; its sources are whole sentences, so each has a line below it."""
    if table.columns[-1] != "source":
        print_table(table.title, table.columns, table.rows, out)
        return
    print_table(table.title, table.columns[:-1], [row[:-1] for row in table.rows], out)
    by_source: dict[str, list[str]] = {}
    for row in table.rows:
        by_source.setdefault(row[-1], []).append(row[0])
    out.print("sources", highlight=False)
    for source, names in by_source.items():
        print_line(f"  {', '.join(names)}: {source}", out)
    out.print()


def cost_exit_code(findings: Iterable[Finding], unpriced: Sequence[str], strict: bool) -> int:
    """The exit code; under `strict`, print what has no price on standard error."""
    code = exit_code(findings)
    if strict and unpriced:
        print(f"error: {len(unpriced)} not priced: {', '.join(unpriced)}", file=sys.stderr)
        code = code if code else EXIT_UNPRICED
    return code
