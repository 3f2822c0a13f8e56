"""Prints what a stack costs, owned and rented, from its file alone: every price with its source, nothing at zero."""

import datetime
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated

import typer

from tierup.catalog import load_catalog
from tierup.catalog.prices import load_prices
from tierup.cli.cost_options import (
    Api,
    Beside,
    Page,
    Utilisation,
    export_focus,
    export_opencost,
    looked,
    write_page,
)
from tierup.cli.cost_page import ending, page
from tierup.cli.exits import UsageError, console, examples
from tierup.cli.project import OptionalStack, project_folder
from tierup.cost import bill_of, price
from tierup.cost.analysis.outlook import Outlook
from tierup.cost.budget import stale
from tierup.cost.report.build import Costed, report, used
from tierup.cost.report.outlook_build import stack_report
from tierup.cost.report.outlook_schema import StackReport
from tierup.cost.report.outlook_tables import every_table
from tierup.cost.report.tables import head
from tierup.findings.model import BUDGET_CODES
from tierup.io.stack.read import read_stack, stack_path
from tierup.plan.model import Plan
from tierup.report import cost_page
from tierup.rules import acceptance
from tierup.rules.preflight import make_plan
from tierup.stack.parse import parse

EXAMPLES = examples(
    "tierup cost --stack standard",
    "tierup cost --stack standard --strict",
    "tierup cost --stack standard --preview",
    "tierup cost --plan plan.json --stack standard --format markdown > comment.md",
    "tierup cost --stack standard --utilisation 0.5 --api 0.10/0.40 --report cost.html --beside entry",
    "tierup cost --stack standard --format focus > focus.csv",
    "tierup cost --stack standard --format opencost > default.json",
    "tierup cost --stack standard --json | jq -r .totals.usdPerMonth",
)


class Format(StrEnum):
    """How a cost is told: to a person, a program, a page, a cost tool."""

    TEXT = "text"
    JSON = "json"
    MARKDOWN = "markdown"
    FOCUS = "focus"
    OPENCOST = "opencost"


def cost(
    stack: OptionalStack = None,
    *,
    plan: Annotated[
        str | None,
        typer.Option(
            "--plan",
            metavar="FILE",
            help="What a plan changes: a saved `pulumi preview --json --show-sames` or `pulumi stack export`, - for "
            "standard input",
        ),
    ] = None,
    preview: Annotated[
        bool, typer.Option("--preview", help="The same of a plan that `pulumi preview` makes now")
    ] = False,
    named: Annotated[
        Format | None,
        typer.Option("--format", help="How it is told", show_default="text", case_sensitive=False),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Short for --format json")] = False,
    strict: Annotated[
        bool, typer.Option("--strict", help="End with exit code 4 where something is not priced")
    ] = False,
    utilisation: Utilisation = None,
    api: Api = None,
    to_file: Page = None,
    beside: Beside = None,
) -> None:
    """What a stack costs a month, owned, and the same GPUs rented. Needs no cluster and decrypts nothing.

    In JSON and Markdown all findings are part of it; else errors go to standard error.
    """
    if as_json and named not in (None, Format.JSON):
        raise UsageError(f"--json and --format {named} differ - give one")
    kind = Format.JSON if as_json else named if named is not None else Format.TEXT
    if beside and to_file is None:
        raise UsageError("--beside is for --report - give a file for the page too")
    if plan is not None and preview:
        raise UsageError("--plan and --preview are two plans - give one")
    if plan is not None or preview:
        if kind in (Format.FOCUS, Format.OPENCOST) or (utilisation, api, to_file) != (None, None, None):
            raise UsageError(
                "what a plan changes is told as text, json or markdown - leave the other options"
            )
        from tierup.cli import cost_plan

        raise typer.Exit(cost_plan.tell(plan, stack, today(), kind, strict))
    if stack is None:
        raise UsageError("name a stack (--stack), or give a plan (--plan)")
    asked = (utilisation, api)
    whole = seen(planned(stack), today(), *asked)
    _tell(whole, kind)
    if to_file is not None:
        others = [seen(planned(name), today(), *asked) for name in beside or ()]
        write_page(to_file, [(item.report, item.outlook) for item in (whole, *others)])
    raise typer.Exit(ending(whole.costed.findings, whole.report.unpriced, strict))


def today() -> datetime.date:
    """The day against which prices are called old."""
    return datetime.datetime.now(datetime.UTC).date()


def planned(stack: str) -> Plan:
    """A stack's plan; raises `FindingsError` for errors that are not about the budget."""
    parsed = parse(read_stack(stack_path(project_folder(), stack)))
    return make_plan(parsed, load_catalog(), shown=BUDGET_CODES)


@dataclass(frozen=True, slots=True)
class Whole:
    """A stack's plan and all that is told of its cost."""

    plan: Plan
    costed: Costed
    outlook: Outlook
    report: StackReport


def seen(plan: Plan, day: datetime.date, utilisation: str | None, api: str | None) -> Whole:
    """A stack's cost as of a day, and its outlook under what the user states."""
    found = costed(plan, day)
    outlook = looked(plan, found, utilisation, api)
    return Whole(plan, found, outlook, stack_report(report(found, load_prices()), outlook))


def costed(plan: Plan, day: datetime.date) -> Costed:
    """A stack's cost as of a day."""
    prices = load_prices()
    bill = bill_of(plan)
    found = price(bill, prices, day)
    old = acceptance.marked(stale(used(bill, found, prices).values(), day), plan.accept)
    over = (item for item in plan.findings if item.code in BUDGET_CODES)
    return Costed(plan.stack, bill, found, day, (*over, *old))


def _tell(whole: Whole, kind: Format) -> None:
    told = whole.report
    match kind:
        case Format.TEXT:
            page(head(told), every_table(told), told.findings, console())
        case Format.JSON:
            print(told.model_dump_json(by_alias=True, indent=2))
        case Format.MARKDOWN:
            print(cost_page.render(told), end="")
        case Format.FOCUS:
            export_focus(whole.costed)
        case Format.OPENCOST:
            export_opencost(whole.plan, whole.costed)
