"""Prints what a stack costs, owned and rented, from its file alone: every price with its source, nothing at zero."""

import datetime
from enum import StrEnum
from typing import Annotated

import typer

from tierup import acceptance
from tierup.catalog import load_catalog
from tierup.catalog.prices import load_prices
from tierup.cli import cost_plan
from tierup.cli.cost_page import ending, page
from tierup.cli.exits import UsageError, console, examples
from tierup.cli.project import OptionalStack, project_folder
from tierup.config import parse
from tierup.cost import markdown
from tierup.cost.bill import bill_of
from tierup.cost.limits import stale
from tierup.cost.price import price
from tierup.cost.report import Costed, report, used
from tierup.cost.rows import head, tables
from tierup.findings import BUDGET_CODES
from tierup.io.stackfile import read_stack, stack_path
from tierup.preflight import make_plan

EXAMPLES = examples(
    "tierup cost --stack standard",
    "tierup cost --stack standard --strict",
    "tierup cost --stack standard --format markdown > cost.md",
    "tierup cost --plan plan.json --stack standard --format markdown > comment.md",
    "tierup cost --stack standard --json | jq -r .totals.usdPerMonth",
)


class Format(StrEnum):
    """How a cost is told: to a person, a program, a page."""

    TEXT = "text"
    JSON = "json"
    MARKDOWN = "markdown"


def cost(
    stack: OptionalStack = None,
    plan: Annotated[
        str | None,
        typer.Option(
            "--plan",
            metavar="FILE",
            help="What a plan changes: a saved `pulumi preview --json --show-sames` or `pulumi stack export`, - for "
            "standard input",
        ),
    ] = None,
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
    if plan is not None:
        raise typer.Exit(cost_plan.tell(plan, stack, today(), kind, strict))
    if stack is None:
        raise UsageError("name a stack (--stack), or give a plan (--plan)")
    found = costed(stack, today())
    told = report(found, load_prices())
    match kind:
        case Format.TEXT:
            page(head(told), tables(told), told.findings, console())
        case Format.JSON:
            print(told.model_dump_json(by_alias=True, indent=2))
        case Format.MARKDOWN:
            print(markdown.render(told), end="")
    raise typer.Exit(ending(found.findings, told.unpriced, strict))


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
