"""Prints the tokens that each caller used by month, and what they cost, from the gateways' logs."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, BinaryIO

import typer

from tierup.cli.cost import planned, priced_stack, today
from tierup.cli.cost_options import Utilisation
from tierup.cli.exits import UsageError, console, examples
from tierup.cli.project import OptionalStack
from tierup.cli.tables import print_line, print_table
from tierup.cost import TokenCost
from tierup.report import usage as report
from tierup.usage import MOST_LINE, Usage, usage_bill

EXAMPLES = examples(
    "tierup usage --stack standard gateway.log",
    "tierup usage --stack standard --utilisation 0.5 < gateway.log",
    "tierup usage --stack standard --json gateway.log",
)


def usage(
    files: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[FILE]...", help="Logs of the gateways; - for standard input", show_default="-"
        ),
    ] = None,
    stack: OptionalStack = None,
    *,
    utilisation: Utilisation = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON")] = False,
) -> None:
    """Tokens by caller, month and model, from gateways with `gateway.meterTokens`, and their cost by `--stack`.

    Lines of other programs are counted and passed over. docs/usage-json.md lists the keys of --json.
    """
    if utilisation is not None and stack is None:
        raise UsageError("--utilisation is for the cost - name a stack (--stack)")
    costs: dict[str, TokenCost | None] = {}
    names: dict[str, str] = {}
    if stack is not None:
        plan = planned(stack)
        by_name = priced_stack(plan, today(), utilisation, None).outlook.tokens
        costs = {model.slug: by_name[model.name] for model in plan.models}
        names = {model.slug: model.name for model in plan.models}
    total = Usage()
    for name in files or ["-"]:
        if name == "-":
            total.read(_lines(sys.stdin.buffer))
        else:
            with Path(name).open("rb") as file:
                total.read(_lines(file))
    used = usage_bill(total, costs)
    if as_json:
        print(report.as_json(stack, total, used, names))
        return
    out = console()
    print_table(None, report.COLUMNS, report.as_rows(used, names), out)
    print_line(
        f"{total.lines:,} lines; without tokens: {total.unused:,}; without meterTokens: {total.unmetered:,}; "
        f"of other programs: {total.unknown:,}",
        out,
    )


def _lines(file: BinaryIO) -> Iterator[bytes]:
    """The lines of a file; of one that is too long, the beginning and then nothing."""
    while line := file.readline(MOST_LINE + 1):
        yield line
        while len(line) > MOST_LINE and not line.endswith(b"\n"):
            line = file.readline(MOST_LINE + 1)
