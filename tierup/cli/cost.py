"""Prints what a stack costs, owned or rented, from its file: every price with its source, missing prices by name."""

import datetime
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Annotated

import typer

from tierup.catalog import load_catalog
from tierup.catalog.prices import load_prices
from tierup.cli.cost_options import (
    Api,
    Beside,
    Month,
    Page,
    Utilisation,
    api_price,
    export_focus,
    export_opencost,
    fraction,
    month_of,
    write_page,
)
from tierup.cli.cost_page import cost_exit_code, page
from tierup.cli.exits import UsageError, console, examples
from tierup.cli.project import OptionalStack, stack_file
from tierup.cost import Outlook, StackCost
from tierup.cost.report.cost import StackReport, every_table, head
from tierup.findings.model import BUDGET_CODES, Finding
from tierup.io.stack.read import read_stack
from tierup.plan.model import Plan
from tierup.report import cost_page
from tierup.rules import acceptance
from tierup.rules.preflight import plan_without_secrets
from tierup.stack.parse import parse

EXAMPLES = examples(
    "tierup cost --stack standard",
    "tierup cost --stack standard --strict",
    "tierup cost --stack standard --preview",
    "tierup cost --plan plan.json --stack standard --format markdown > comment.md",
    "tierup cost --stack standard --utilisation 0.5 --api 0.10/0.40 --report cost.html --beside entry",
    "tierup cost --stack standard --format focus --month 2026-10 > focus.csv",
    "tierup cost --stack standard --format opencost > default.json",
    "tierup cost --stack standard --json | jq -r .totals.usdPerMonth",
)


class Format(StrEnum):
    """The formats of a cost: for a person, a program, a pull request, a cost tool."""

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
            help="Cost of a plan's changes: a saved `pulumi preview --json --show-sames` or `pulumi stack export`, "
            "- for standard input",
        ),
    ] = None,
    preview: Annotated[
        bool, typer.Option("--preview", help="The same for a plan that `pulumi preview` makes now")
    ] = False,
    named: Annotated[
        Format | None,
        typer.Option("--format", help="The form of the output", show_default="text", case_sensitive=False),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Short for --format json")] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Exit code 4 if something has no price")] = False,
    utilisation: Utilisation = None,
    api: Api = None,
    to_file: Page = None,
    beside: Beside = None,
    month: Month = None,
) -> None:
    """Print the monthly cost of a stack, and of the same GPUs bought or rented. Needs no cluster and decrypts nothing.

    JSON and Markdown contain all findings; in other formats errors go to standard error.
    """
    if as_json and named not in (None, Format.JSON):
        raise UsageError(f"--json and --format {named} differ - give one")
    kind = Format.JSON if as_json else named if named is not None else Format.TEXT
    if beside and to_file is None:
        raise UsageError("--beside adds to --report - give its file too")
    if month is not None and kind is not Format.FOCUS:
        raise UsageError("--month is for --format focus - leave it out")
    if plan is not None and preview:
        raise UsageError("--plan and --preview both name a plan - give one")
    if plan is not None or preview:
        if kind in (Format.FOCUS, Format.OPENCOST) or (utilisation, api, to_file) != (None, None, None):
            raise UsageError(
                "--plan and --preview print text, json or markdown - leave out other formats, "
                "--utilisation, --api and --report"
            )
        from tierup.cli import cost_plan

        raise typer.Exit(cost_plan.print_cost(plan, stack, today(), kind, strict))
    if stack is None:
        raise UsageError("name a stack (--stack) or a plan (--plan)")
    options = (utilisation, api)
    tier, billed = planned(stack), month_of(month, today())
    priced = priced_stack(tier, today(), *options)
    _print(priced, kind, billed)
    if to_file is not None:
        plans = [
            replace(planned(name), currency=tier.currency) for name in beside or ()
        ]  # one page, one scale
        others = [priced_stack(other, today(), *options) for other in plans]
        write_page(to_file, [(item.report, item.outlook) for item in (priced, *others)])
    raise typer.Exit(cost_exit_code(priced.findings, priced.report.unpriced, strict))


def today() -> datetime.date:
    """The current date, UTC; the age of prices is relative to it."""
    return datetime.datetime.now(datetime.UTC).date()


def planned(stack: str) -> Plan:
    """A stack's plan; raises `FindingsError` for errors that are not about the budget."""
    parsed = parse(read_stack(stack_file(stack)))
    return plan_without_secrets(parsed, load_catalog(), allowed_errors=BUDGET_CODES)


@dataclass(frozen=True, slots=True)
class PricedStack:
    """A stack's cost, outlook and findings, and the report with all of them."""

    cost: StackCost
    outlook: Outlook
    findings: tuple[Finding, ...]
    report: StackReport


def priced_stack(plan: Plan, day: datetime.date, utilisation: str | None, api: str | None) -> PricedStack:
    """A stack's cost as of a day, and its outlook under a given utilisation and API price; raises UsageError."""
    cost = StackCost.of(plan, load_prices(), day)
    try:
        outlook = cost.outlook(fraction(utilisation), api_price(api))
    except ValueError as error:
        raise UsageError(f"--utilisation: {error}") from error
    over_budget = (item for item in plan.findings if item.code in BUDGET_CODES)
    findings = (
        *over_budget,
        *acceptance.marked((*cost.stale_prices(), *cost.doubtful_prices()), plan.accept),
    )
    return PricedStack(cost, outlook, findings, StackReport.of(cost, outlook, findings))


def _print(priced: PricedStack, kind: Format, month: datetime.date) -> None:
    report = priced.report
    match kind:
        case Format.TEXT:
            page(head(report), every_table(report), report.findings, console())
        case Format.JSON:
            print(report.model_dump_json(by_alias=True, indent=2))
        case Format.MARKDOWN:
            print(cost_page.as_markdown(report), end="")
        case Format.FOCUS:
            export_focus(priced.cost, month, priced.findings)
        case Format.OPENCOST:
            export_opencost(priced.cost, priced.findings)
