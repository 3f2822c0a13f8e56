"""Prints what a stack costs, owned and rented, from its file alone: every price with its source, nothing at zero."""

import datetime
import sys
from enum import StrEnum
from typing import Annotated

import typer
from rich.console import Console

from tierup import acceptance
from tierup.catalog import load_catalog
from tierup.catalog.prices import load_prices
from tierup.cli.exits import EXIT_UNPRICED, UsageError, console, examples, exit_code
from tierup.cli.project import Stack, project_folder
from tierup.cli.tables import print_table
from tierup.config import parse
from tierup.cost import markdown
from tierup.cost.bill import bill_of
from tierup.cost.limits import stale
from tierup.cost.price import price
from tierup.cost.report import Costed, report, used
from tierup.cost.rows import head, tables
from tierup.cost.shape import CostReport
from tierup.findings import BUDGET_CODES, Severity
from tierup.io.stackfile import read_stack, stack_path
from tierup.preflight import make_plan

EXAMPLES = examples(
    "tierup cost --stack standard",
    "tierup cost --stack standard --strict",
    "tierup cost --stack standard --format markdown > cost.md",
    "tierup cost --stack standard --json | jq -r .totals.usdPerMonth",
)


class Format(StrEnum):
    """How a cost is told: to a person, a program, a page."""

    TEXT = "text"
    JSON = "json"
    MARKDOWN = "markdown"


def cost(
    stack: Stack,
    named: Annotated[
        Format | None,
        typer.Option("--format", help="How it is told", show_default="text", case_sensitive=False),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Short for --format json")] = False,
    strict: Annotated[
        bool, typer.Option("--strict", help="End with exit code 4 where something is not priced")
    ] = False,
) -> None:
    """What a stack costs a month, owned, and the same GPUs rented. Needs no cluster and decrypts nothing.

    As text, errors go to standard error; in every other format all findings go to standard output.
    """
    if as_json and named not in (None, Format.JSON):
        raise UsageError(f"--json and --format {named} differ - give one")
    kind = Format.JSON if as_json else named if named is not None else Format.TEXT
    found = costed(stack, today())
    told = report(found, load_prices())
    match kind:
        case Format.TEXT:
            _page(told, console())
        case Format.JSON:
            print(told.model_dump_json(by_alias=True, indent=2))
        case Format.MARKDOWN:
            print(markdown.render(told), end="")
    code = exit_code(found.findings)
    if strict and told.unpriced:
        print(f"error: {told.unpriced_count} not priced: {', '.join(told.unpriced)}", file=sys.stderr)
        code = code if code else EXIT_UNPRICED
    raise typer.Exit(code)


def today() -> datetime.date:
    """The day against which prices are called old."""
    return datetime.datetime.now(datetime.UTC).date()


def costed(stack: str, day: datetime.date) -> Costed:
    """A stack's cost as of a day; raises `TierError` for errors that are not about the budget."""
    parsed, prices = parse(read_stack(stack_path(project_folder(), stack))), load_prices()
    plan = make_plan(parsed, load_catalog(), shown=BUDGET_CODES)
    bill = bill_of(plan)
    found = price(bill, prices, day)
    old = acceptance.marked(stale(used(bill, found, prices).values(), day), plan.config.accept)
    over = (item for item in plan.findings if item.code in BUDGET_CODES)
    return Costed(stack, bill, found, day, (*over, *old))


def _page(found: CostReport, out: Console) -> None:
    for line in head(found):
        out.print(line, highlight=False, markup=False, soft_wrap=True)
    out.print()
    for table in tables(found):
        print_table(table.title, table.columns, table.rows, out)
    for item in found.findings:
        text = f"{item.severity}: {item.message}"
        if item.severity is Severity.ERROR:
            print(text, file=sys.stderr)
        else:
            out.print(text, highlight=False, markup=False, soft_wrap=True)
