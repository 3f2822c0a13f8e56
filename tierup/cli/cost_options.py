"""Options of `tierup cost`: utilisation, API price, HTML report and exports."""

import sys
from collections.abc import Iterable
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Annotated

import typer

from tierup.cli.exits import UsageError
from tierup.cost import ApiPrice, Outlook, StackCost, focus_table, opencost_document
from tierup.cost.report.cost import StackReport
from tierup.findings.model import Finding, errors

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
    typer.Option("--api", help="An API's price to compare with, USD per million tokens IN/OUT: 0.10/0.40"),
]
Page = Annotated[
    Path | None, typer.Option("--report", help="Also write a page with charts to this HTML file")
]
Beside = Annotated[
    list[str] | None,
    typer.Option("--beside", help="With --report: another stack on the page; may be repeated"),
]


def fraction(text: str | None) -> Decimal | None:
    """The utilisation as a number; None if none is given."""
    return None if text is None else _number(text, "--utilisation", "0.5")


def api_price(text: str | None) -> ApiPrice | None:
    """The API's price for prompts and for answers; None if none is given."""
    if text is None:
        return None
    usd_in, slash, usd_out = text.partition("/")
    if not slash:
        raise UsageError(f"--api: two prices with a slash between them (got {text}) - such as 0.10/0.40")
    return ApiPrice(_number(usd_in, "--api", "0.10/0.40"), _number(usd_out, "--api", "0.10/0.40"))


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

    try:
        file.write_text(cost_html.render(tiers), encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{file} cannot be written: {error.strerror}") from error


def export_focus(priced: StackCost, findings: Iterable[Finding]) -> None:
    """Print the current month's cost as FOCUS; standard error names what is not included."""
    print(focus_table(priced.cost, priced.plan.stack, priced.today), end="")
    _print_problems(priced, findings)


def export_opencost(priced: StackCost, findings: Iterable[Finding]) -> None:
    """Print OpenCost's custom prices; standard error names what is not included."""
    print(opencost_document(priced.cost, priced.plan), end="")
    _print_problems(priced, findings)


def _print_problems(priced: StackCost, findings: Iterable[Finding]) -> None:
    for item in errors(findings):
        print(f"error: {item}", file=sys.stderr)
    if priced.cost.unpriced:
        print(f"note: no price, so not included: {', '.join(priced.cost.unpriced)}", file=sys.stderr)
