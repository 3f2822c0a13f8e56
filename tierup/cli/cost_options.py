"""What a cost is asked for beyond its lines: the use and the API price that are stated, pages and exports."""

import sys
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Annotated

import typer

from tierup.catalog.prices import load_prices
from tierup.cli.exits import UsageError
from tierup.cost.analysis.outlook import ApiPrice, Outlook, outlook
from tierup.cost.bill.of_plan import claimed_gib
from tierup.cost.report.build import Costed
from tierup.cost.report.outlook_schema import StackReport
from tierup.findings.model import errors
from tierup.plan.model import Plan

Utilisation = Annotated[
    str | None,
    typer.Option(
        "--utilisation",
        help="Part of full use that is served, above 0 and at most 1",
        show_default="what the stack's users send",
    ),
]
Api = Annotated[
    str | None,
    typer.Option("--api", help="An API's price to compare with, USD per million tokens IN/OUT: 0.10/0.40"),
]
Page = Annotated[
    Path | None, typer.Option("--report", help="Also write a page with pictures to this HTML file")
]
Beside = Annotated[
    list[str] | None, typer.Option("--beside", help="With --report: another stack on it, as often as needed")
]


def looked(plan: Plan, found: Costed, utilisation: str | None, api: str | None) -> Outlook:
    """The outlook under what the user states."""
    try:
        return outlook(plan, found.bill, load_prices(), _utilisation(utilisation), _api(api))
    except ValueError as error:
        raise UsageError(f"--utilisation: {error}") from error


def _utilisation(said: str | None) -> Decimal | None:
    return None if said is None else _number(said, "--utilisation", "0.5")


def _api(said: str | None) -> ApiPrice | None:
    if said is None:
        return None
    usd_in, slash, usd_out = said.partition("/")
    if not slash:
        raise UsageError(f"--api: two prices with a slash between them (got {said}) - such as 0.10/0.40")
    return ApiPrice(_number(usd_in, "--api", "0.10/0.40"), _number(usd_out, "--api", "0.10/0.40"))


def _number(said: str, option: str, such_as: str) -> Decimal:
    try:
        number = Decimal(said)
    except InvalidOperation:
        number = Decimal("NaN")
    if not number.is_finite() or number < 0:
        raise UsageError(f"{option}: a number of 0 or more (got {said}) - such as {such_as}")
    return number


def write_page(file: Path, tiers: list[tuple[StackReport, Outlook]]) -> None:
    """The page of one or more tiers."""
    from tierup.report import cost_html

    try:
        file.write_text(cost_html.render(tiers), encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{file} cannot be written: {error.strerror}") from error


def export_focus(found: Costed) -> None:
    """The month of the day as FOCUS; what has no row is told on standard error."""
    from tierup.cost.export import focus

    print(focus.table(found.cost, found.stack, found.today), end="")
    _left_out(found)


def export_opencost(plan: Plan, found: Costed) -> None:
    """OpenCost's custom prices."""
    from tierup.cost.export import opencost

    gib = claimed_gib(plan)
    print(
        opencost.document(opencost.custom_pricing(found.cost, plan.stack, plan.nodes.gpus_schedulable, gib)),
        end="",
    )
    _left_out(found)


def _left_out(found: Costed) -> None:
    for item in errors(found.findings):
        print(f"error: {item}", file=sys.stderr)
    if found.cost.unpriced:
        print(f"note: not priced, so not in it: {', '.join(found.cost.unpriced)}", file=sys.stderr)
