"""Checks the quotes of a stack file, and its cost against its budget."""

from collections.abc import Iterator
from decimal import Decimal

from tierup.catalog.prices import LIMITS, load_prices
from tierup.cost import bill_of, hardware_of, price
from tierup.cost.budget import exceeded, over_month
from tierup.findings.model import Code, Finding, did_you_mean
from tierup.plan.model import Plan
from tierup.stack.sections import Cost, Quote


def quotes(section: Cost) -> Iterator[Finding]:
    """Every quote must have a known id, and the unit and range of that price."""
    prices = load_prices()
    for name, quote in (section.quotes if section.quotes is not None else {}).items():
        at = f"cost.quotes.{name}"
        if prices.can_quote(name):
            yield from _quote(at, quote, prices.unit(name), LIMITS.get(name))
        else:
            fix = did_you_mean(name, prices.by_id) or "`tierup cost` lists those of this stack"
            allowed = "an id of tierup/catalog/prices.yaml, a server's id, storage-CLASS"
            yield Finding(Code.UNKNOWN_QUOTE, at, "there is no such price", fix, name, allowed)


def _quote(at: str, quote: Quote, unit: str, limits: tuple[Decimal, Decimal] | None) -> Iterator[Finding]:
    if quote.unit is not None and quote.unit != unit:
        problem, fix = "is not in the unit of the catalogue", "convert the value"
        yield Finding(Code.BAD_QUOTE, f"{at}.unit", problem, fix, quote.unit, unit)
    if limits is not None and not limits[0] <= quote.value <= limits[1]:
        problem, fix = "is outside the possible range", f"write it in {unit}"
        yield Finding(
            Code.BAD_QUOTE, f"{at}.value", problem, fix, str(quote.value), f"{limits[0]} to {limits[1]}"
        )


def capex(plan: Plan) -> Iterator[Finding]:
    """The purchase price must be within the budget."""
    limit, nodes = plan.budget.capex_usd, plan.nodes
    if limit is not None:
        servers = len(nodes.in_service) + len(nodes.standby)
        problem = f"is less than {servers} x {nodes.server_id} cost, spares included"
        finding = Finding(Code.OVER_BUDGET, "budget.capexUsd", problem, "use fewer servers")
        bought = price(hardware_of(plan), load_prices()).purchase_usd
        yield from exceeded(plan.budget, finding, limit, bought)


def monthly(plan: Plan) -> Iterator[Finding]:
    """The monthly cost must be within the budget."""
    if plan.budget.monthly_usd is not None:
        yield from over_month(plan.budget, price(bill_of(plan), load_prices()))
