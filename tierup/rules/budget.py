"""Checks the quotes and the tenure of a stack file, and its cost against its budget."""

from collections.abc import Iterator, Mapping
from decimal import Decimal

from tierup.catalog import Server
from tierup.catalog.prices import LIMITS, load_prices
from tierup.cost import Limits, bill_of, price
from tierup.findings.model import Code, Finding, did_you_mean
from tierup.plan.model import Plan
from tierup.stack.sections import Cost, Nodes, Quote, Tenure


def quotes(section: Cost, servers: Mapping[str, Server]) -> Iterator[Finding]:
    """Every quote must have a known id, and the unit and range of that price; `servers` are all that are known."""
    prices = load_prices().with_own(servers)
    if section.currency is not None and section.currency.code == "USD" and section.currency.per_usd != 1:
        fix = "write the code of the other currency, or leave cost.currency out"
        got = str(section.currency.per_usd)
        yield Finding(Code.BAD_QUOTE, "cost.currency.perUsd", "a dollar is one dollar", fix, got, "1")
    for name, quote in (section.quotes if section.quotes is not None else {}).items():
        at = f"cost.quotes.{name}"
        if prices.can_quote(name):
            yield from _quote(at, quote, prices.unit(name), LIMITS.get(name))
        else:
            fix = did_you_mean(name, prices.units) or "`tierup cost` lists those of this stack"
            allowed = "an id that `tierup cost` prints, a server's id, rent-SERVER, storage-CLASS"
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
    nodes = plan.nodes
    if plan.budget.capex_usd is not None:
        servers = len(nodes.in_service) + len(nodes.standby)
        cost = price(bill_of(plan, servers_only=True), load_prices())
        yield from Limits(plan.budget).purchase(cost, f"{servers} x {nodes.server_id} cost, spares included")


def monthly(plan: Plan) -> Iterator[Finding]:
    """The monthly cost must be within the budget."""
    if plan.budget.monthly_usd is not None:
        yield from Limits(plan.budget).month(price(bill_of(plan), load_prices()))


def tenure(section: Nodes) -> Iterator[Finding]:
    """Owned servers are bought on a day, rented ones have an offer; neither has what belongs to the other."""
    rented = section.tenure is Tenure.RENTED
    if section.rent is not None and not rented:
        fix = "write `tenure: rented`, or leave rent out"
        yield Finding(Code.TENURE, "nodes.rent", "is of rented servers, and these are owned", fix)
    if section.purchased is not None and rented:
        fix = "leave it out, or write `tenure: owned`"
        yield Finding(Code.TENURE, "nodes.purchased", "is of owned servers, and these are rented", fix)
