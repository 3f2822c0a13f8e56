"""Prints the plan of a stack file: capacity, latency, findings, and every default with its reason."""

from typing import Annotated

import typer

from tierup.cli.exits import console, examples
from tierup.cli.plan_page import lines, show
from tierup.cli.project import Stack, load_plan
from tierup.cli.reports import Format, format_of, formatted, report
from tierup.plan.summary import summary

EXAMPLES = examples(
    "tierup plan --stack standard",
    "tierup plan --stack standard --why",
    "tierup plan --stack standard --json",
    "tierup plan --stack standard --format markdown > comment.md",
    "tierup plan --stack standard --format sarif > findings.sarif",
)


def plan(
    stack: Stack,
    named: Annotated[
        Format | None,
        typer.Option("--format", help="The form of the output", show_default="text", case_sensitive=False),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Short for --format json")] = False,
    why: Annotated[bool, typer.Option("--why", help="As text: the reason of every default")] = False,
) -> None:
    """Check a stack file and print its defaults with their reasons. Needs no cluster and decrypts nothing.

    As text, errors go to standard error; the other formats contain all findings and go to standard output.
    """
    kind = format_of(named, as_json)
    if kind is Format.TEXT:
        show(load_plan(stack), console(), why)
        return
    text, code = formatted(report(stack, summary, lambda tier: tuple(lines(tier))), kind)
    print(text, end="")
    raise typer.Exit(code)
