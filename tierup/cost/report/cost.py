"""The cost of a stack as JSON (docs/cost.schema.json comes from it), and the same as lines and tables for people."""

import datetime
from collections.abc import Callable, Iterable, Iterator, Mapping
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import Field

from tierup.catalog.price import HOURS_PER_MONTH, dated
from tierup.cost.analysis.outlook import Outlook
from tierup.cost.parts import by_component, by_model, by_node, server_parts
from tierup.cost.rent import Rent, rented
from tierup.cost.report.figures import (
    HOUR,
    NOT_PRICED,
    Cents,
    CurrencyOut,
    FindingOut,
    HourlyUsd,
    Money,
    Out,
    PriceOut,
    Redacted,
    Table,
    amounts,
    price_table,
    rounded,
)
from tierup.cost.report.outlook import OutlookOut, outlook_tables
from tierup.cost.stack_cost import StackCost
from tierup.cost.types import Kind
from tierup.findings.model import Finding, Severity
from tierup.stack.sections import Tenure


class Totals(Money):
    """All that has a price; `low` and `high` with every price at its cheap and at its dear end."""

    low_usd_per_month: Cents
    high_usd_per_month: Cents
    capex: Annotated[Money, Field(description="The part of what was bought that wears out in that time")]
    opex: Money
    purchase_usd: Annotated[Cents, Field(description="What is paid at once")]
    usd_per_gpu_hour: Annotated[HourlyUsd | None, Field(description="By the GPUs in service")]


class LineOut(Out):
    """One cost; null where it is not priced."""

    component: str
    name: Redacted
    kind: Kind
    quantity: Decimal
    unit: str
    usd_per_hour: HourlyUsd | None
    usd_per_month: Cents | None
    low_usd_per_month: Cents | None
    high_usd_per_month: Cents | None
    purchase_usd: Cents | None
    prices: Annotated[list[str], Field(description="Ids of the prices it is computed from")]


class ComponentOut(Money):
    """The lines of one component together."""

    component: str
    unpriced_lines: int


class NodeOut(Money):
    """What each of `count` servers costs, without what the tier has once."""

    role: str
    count: int
    purchase_usd: Cents


class ModelOut(Money):
    """One model's part of the whole cost, by the GPUs of its replicas at rest; the unused rest is `idle GPUs`."""

    name: str
    gpus: int


class PartsOut(Out):
    """One server's price: so many cards at what single ones cost, and the rest by difference."""

    price_usd: Decimal | None
    low_usd: Decimal | None
    high_usd: Decimal | None
    cards: int
    card_usd: Decimal | None
    rest_usd: Decimal | None


class RentOut(Out):
    """The GPUs of the servers that are up, rented in whole machines."""

    id: str
    provider: str
    region: str | None
    term_months: Annotated[Decimal | None, Field(description="That are committed; null: none")]
    machines: int
    gpus: int
    usd_per_gpu_hour: HourlyUsd | None
    usd_per_hour: HourlyUsd | None
    usd_per_month: Cents | None
    source: Redacted
    as_of: datetime.date
    terms: Annotated[str, Field(description="spot, on demand, or the months of the commitment")]
    spot: Annotated[bool, Field(description="The provider may take the machines back at any time")]
    own_date: Annotated[datetime.date | None, Field(description="Null: the source gives the price no date")]
    looked_up: Annotated[
        datetime.date | None, Field(description="Day on which the source was read, if known")
    ]

    @classmethod
    def of(cls, rent: Rent) -> "RentOut":
        """The rent with the facts of its price and its offer."""
        return cls(
            id=rent.price.id,
            provider=rent.offer.provider,
            region=rent.offer.region,
            term_months=rent.offer.term_months,
            machines=rent.machines,
            gpus=rent.gpus,
            usd_per_gpu_hour=rent.usd_per_gpu_hour,
            usd_per_hour=rent.usd_per_hour,
            usd_per_month=rent.usd_per_month,
            source=rent.price.source,
            as_of=rent.price.as_of,
            terms=rent.offer.terms,
            spot=rent.offer.spot,
            own_date=rent.price.own_date,
            looked_up=rent.price.looked_up,
        )


class ShownOut(CurrencyOut):
    """The totals in the currency that the stack file chooses, and its rate."""

    per_hour: Decimal
    per_month: Decimal
    low_per_month: Decimal
    high_per_month: Decimal
    purchase: Decimal

    @classmethod
    def of_totals(cls, currency: CurrencyOut, sums: Totals) -> "ShownOut":
        """The rounded totals at the currency's rate."""
        return cls(
            **dict(currency),
            per_hour=rounded(sums.usd_per_hour * currency.per_usd, HOUR),
            per_month=rounded(sums.usd_per_month * currency.per_usd),
            low_per_month=rounded(sums.low_usd_per_month * currency.per_usd),
            high_per_month=rounded(sums.high_usd_per_month * currency.per_usd),
            purchase=rounded(sums.purchase_usd * currency.per_usd),
        )


class RentalOut(Out):
    """The offer that the stack file asks for. Null: any, and for a term: on demand."""

    provider: str | None
    region: str | None
    term_months: int | None


class OwnedOut(Money):
    """The same hardware bought; of an owned tier, its own totals."""

    purchase_usd: Cents
    unpriced: Annotated[list[Redacted], Field(description="What these sums leave out")]


class StackReport(Out):
    """What a tier costs, owned or rented, and the other of the two. Keys may be added; none changes its meaning."""

    stack: str
    tenure: Tenure
    rental: Annotated[RentalOut | None, Field(description="Null where the tier is owned")]
    currency: Annotated[Literal["USD"], Field(description="Of every figure but those of `shown`")] = "USD"
    shown: ShownOut
    hours_per_month: int = int(HOURS_PER_MONTH)
    as_of: Annotated[datetime.date, Field(description="The day against which prices are called stale")]
    ok: Annotated[bool, Field(description="No budget is exceeded")]
    totals: Totals
    owned: OwnedOut
    lines: list[LineOut]
    components: list[ComponentOut]
    nodes: list[NodeOut]
    models: list[ModelOut]
    server: PartsOut | None
    rented: list[RentOut]
    prices: list[PriceOut]
    unpriced_count: int
    unpriced: Annotated[list[Redacted], Field(description="Price ids without a value, and unknown resources")]
    findings: list[FindingOut]
    outlook: OutlookOut

    @classmethod
    def of(cls, priced: StackCost, outlook: Outlook, findings: Iterable[Finding]) -> "StackReport":
        """All of a stack's cost, rounded, with its findings."""
        bill, cost, prices = priced.bill, priced.cost, priced.prices
        every, nodes = tuple(findings), priced.plan.nodes
        totals = Totals.model_validate(cost)
        return cls(
            stack=priced.plan.stack,
            tenure=nodes.tenure,
            rental=None if nodes.rental is None else RentalOut.model_validate(nodes.rental),
            shown=ShownOut.of_totals(CurrencyOut.of(priced.plan.currency), totals),
            as_of=priced.today,
            ok=all(item.severity is not Severity.ERROR for item in every),
            totals=totals,
            owned=OwnedOut.model_validate(priced.owned),
            lines=[LineOut.model_validate(line) for line in cost.lines],
            components=[ComponentOut.model_validate(part) for part in by_component(cost)],
            nodes=[NodeOut.model_validate(node) for node in by_node(cost, bill)],
            models=[ModelOut.model_validate(share) for share in by_model(cost, bill, prices)],
            server=PartsOut.model_validate(parts) if (parts := server_parts(bill, prices)) else None,
            rented=[RentOut.of(rent) for rent in rented(bill, prices)],
            prices=[PriceOut.of(item, prices, priced.today) for item in priced.used_prices.values()],
            unpriced_count=len(cost.unpriced),
            unpriced=list(cost.unpriced),
            findings=[FindingOut.of(item) for item in every],
            outlook=OutlookOut.of(outlook),
        )


def head(report: StackReport) -> Iterator[str]:
    """The sum, and what it leaves out."""
    sums, usd = report.totals, report.shown.text
    low, high = usd(sums.low_usd_per_month, 0), usd(sums.high_usd_per_month, 0)
    hour = usd(sums.usd_per_hour)
    yield f"{report.stack}: {usd(sums.usd_per_month)} a month ({low} to {high}), {hour} an hour"
    per_gpu = (
        "" if sums.usd_per_gpu_hour is None else f"; {usd(sums.usd_per_gpu_hour, 4)} per GPU-hour in service"
    )
    if report.tenure is Tenure.RENTED:
        yield _rented(report, per_gpu)
    else:
        yield (
            f"  capex {usd(sums.capex.usd_per_month)} a month of {usd(sums.purchase_usd)} bought, "
            f"opex {usd(sums.opex.usd_per_month)} a month{per_gpu}"
        )
    if report.server is not None and report.server.rest_usd is not None:
        server = report.server
        yield (
            f"  a server at {usd(server.price_usd, 0)} ({usd(server.low_usd, 0)} to {usd(server.high_usd, 0)}): "
            f"{server.cards} cards at {usd(server.card_usd, 0)}, the rest of it {usd(server.rest_usd, 0)}"
        )
    if report.unpriced:
        yield f"  {NOT_PRICED}, and in no sum: {', '.join(report.unpriced)} ({report.unpriced_count})"
    if report.shown.rate:
        yield f"  {report.shown.rate}"


def _rented(report: StackReport, per_gpu: str) -> str:
    """What a rented tier pays for, and what the same hardware costs that is bought."""
    owned, usd = report.owned, report.shown.text
    bought = f"{usd(owned.usd_per_month)} a month of {usd(owned.purchase_usd)} bought"
    missing = f", {len(owned.unpriced)} {NOT_PRICED}" if owned.unpriced else ""
    return f"  rented: nothing is bought{per_gpu}; the same hardware owned: {bought}{missing}"


def every_table(report: StackReport) -> list[Table]:
    """All of a stack's cost, the prices last."""
    outlook = outlook_tables(report.outlook, report.tenure, report.shown)
    every = (*_parts(report), *outlook, price_table(report.prices))
    return [table for table in every if table.rows]


def _parts(report: StackReport) -> Iterator[Table]:
    money = report.shown
    yield Table.of(str(report.tenure), report.lines, _lines(money))
    yield Table.of("each server", report.nodes, _nodes(money))
    yield Table.of("models, by the GPUs of their replicas at rest", report.models, _models(money))
    yield Table.of("the same GPUs rented", report.rented, _rents(money))


def _lines(money: CurrencyOut) -> Mapping[str, Callable[[LineOut], str]]:
    return {
        "component": lambda line: line.component,
        "what": lambda line: line.name,
        "quantity": lambda line: f"{line.quantity:f} {line.unit}",
        **amounts(money),
        "range": lambda line: money.between(line.low_usd_per_month, line.high_usd_per_month),
        "bought": lambda line: "" if line.purchase_usd is None else money.text(line.purchase_usd),
    }


def _nodes(money: CurrencyOut) -> Mapping[str, Callable[[NodeOut], str]]:
    return {
        "server": lambda node: node.role,
        "count": lambda node: str(node.count),
        **amounts(money),
        "bought": lambda node: money.text(node.purchase_usd),
    }


def _models(money: CurrencyOut) -> Mapping[str, Callable[[ModelOut], str]]:
    return {
        "model": lambda model: model.name,
        "GPUs": lambda model: str(model.gpus),
        **amounts(money),
    }


def _rents(money: CurrencyOut) -> Mapping[str, Callable[[RentOut], str]]:
    return {
        "provider": lambda rent: rent.provider if rent.region is None else f"{rent.provider} {rent.region}",
        "term": lambda rent: rent.terms,
        "machines": lambda rent: str(rent.machines),
        "GPUs": lambda rent: str(rent.gpus),
        f"{money.code}/GPU-hour": lambda rent: money.text(rent.usd_per_gpu_hour),
        f"{money.code}/month": lambda rent: money.text(rent.usd_per_month),
        "as of": lambda rent: dated(rent.own_date, rent.looked_up),
        "price": lambda rent: rent.id,
    }
