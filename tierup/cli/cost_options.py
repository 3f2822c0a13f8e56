"""Options of `tierup cost`: utilisation, API price, HTML report and exports."""

import datetime
import sys
from collections.abc import Iterable
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Annotated

import typer

from tierup.cli.exits import UsageError
from tierup.cost import ApiPrice, Outlook, StackCost
from tierup.cost.report.cost import StackReport
from tierup.findings.model import Finding, errors
from tierup.io.files import write_text

_TWO_PRICES, _THREE_PRICES = "0.10/0.40", "0.10/0.025/0.40"
Utilisation = Annotated[
    str | None,
    typer.Option(
        "--utilisation",
        help="Share of the full load that is served, above 0 and at most 1",
        show_default="what the stack's users send",
    ),
]
Api = Annotated[
    str | None,
    typer.Option(
        "--api",
        metavar="IN[/CACHED]/OUT",
        help=f"An API's price to compare with, USD per million tokens: {_TWO_PRICES}, or with the price of cached "
        f"prompt tokens {_THREE_PRICES}",
    ),
]
Page = Annotated[
    Path | None, typer.Option("--report", help="Also write a page with charts to this HTML file")
]
Beside = Annotated[
    list[str] | None,
    typer.Option("--beside", help="With --report: another stack on the page; may be repeated"),
]

Month = Annotated[
    str | None,
    typer.Option(
        "--month",
        metavar="YYYY-MM",
        help="With --format focus: the month that is billed",
        show_default="this month",
    ),
]


def fraction(text: str | None) -> Decimal | None:
    """The utilisation, written as `0.5` or `50%`; None if none is given."""
    if text is None:
        return None
    share = _number(text.removesuffix("%"), "--utilisation", "0.5 or 50%")
    return share / 100 if text.endswith("%") else share


def api_price(text: str | None) -> ApiPrice | None:
    """The API's price for prompts, cached prompts (if it has one) and answers; None if none is given."""
    if text is None:
        return None
    prices = text.split("/")
    if len(prices) not in (2, 3):
        problem = f"two or three prices with a slash between them (got {text})"
        raise UsageError(f"--api: {problem} - such as {_TWO_PRICES} or {_THREE_PRICES}")
    example = _TWO_PRICES if len(prices) == 2 else _THREE_PRICES
    usd_in, *cached, usd_out = (_number(price, "--api", example) for price in prices)
    return ApiPrice(usd_in, usd_out, *cached)


def _number(text: str, option: str, example: str) -> Decimal:
    try:
        number = Decimal(text)
    except InvalidOperation:
        number = Decimal("NaN")
    if not number.is_finite() or number < 0:
        raise UsageError(f"{option}: a number of 0 or more (got {text}) - such as {example}")
    return number


def write_page(file: Path, tiers: list[tuple[StackReport, Outlook]]) -> None:
    """Write the HTML report of one or more tiers."""
    from tierup.report import cost_html

    write_text(file, cost_html.render(tiers))


def month_of(text: str | None, today: datetime.date) -> datetime.date:
    """The first day of the month that FOCUS bills: the month of today, or an earlier one."""
    if text is None:
        return today.replace(day=1)
    try:
        day = datetime.datetime.strptime(text, "%Y-%m").replace(tzinfo=datetime.UTC).date()
    except ValueError:
        raise UsageError(f"--month: a year and a month (got {text}) - such as 2026-11") from None
    if day > today:
        raise UsageError(f"--month: lies in the future (got {text}) - up to {today:%Y-%m}")
    return day


def export_focus(priced: StackCost, month: datetime.date, findings: Iterable[Finding]) -> None:
    """Print one month's cost as FOCUS; standard error names what is not included."""
    print(priced.focus(month), end="")
    _print_problems(priced, findings)
    nodes = priced.plan.nodes
    if nodes.purchased is None and priced.cost.purchase_usd:
        note = "no day of the purchase is known, so no month bills it (nodes.purchased)"
        print(f"note: {note}", file=sys.stderr)
    elif nodes.purchased is not None and nodes.purchased.replace(day=1) > month:
        print(f"note: bought on {nodes.purchased}, after this month", file=sys.stderr)


def export_opencost(priced: StackCost, findings: Iterable[Finding]) -> None:
    """Print OpenCost's custom prices; standard error names what is not included."""
    print(priced.opencost(), end="")
    _print_problems(priced, findings)


def _print_problems(priced: StackCost, findings: Iterable[Finding]) -> None:
    for item in errors(findings):
        print(f"error: {item}", file=sys.stderr)
    if priced.cost.unpriced:
        print(f"note: no price, so not included: {', '.join(priced.cost.unpriced)}", file=sys.stderr)
