"""Decides which figures of a tier's cost are told, and how they are rounded."""

import datetime
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal

from tierup.catalog.price import Price
from tierup.catalog.prices import Prices
from tierup.cost.analysis.rent import Rent, rented
from tierup.cost.parts import ServerParts, by_model, by_node, gpus_in_service, server_parts
from tierup.cost.price import is_stale
from tierup.cost.report.schema import (
    ComponentOut,
    CostReport,
    FindingOut,
    LineOut,
    ModelOut,
    Money,
    NodeOut,
    PartsOut,
    PriceOut,
    RentOut,
    Totals,
)
from tierup.cost.types import HOURS_PER_MONTH, Bill, Kind, Line, TierCost
from tierup.findings.model import Finding, Severity, redacted

HOUR, CENT = Decimal("0.000001"), Decimal("0.01")


@dataclass(frozen=True, slots=True)
class Costed:
    """A stack's bill and what came of it; `today` is the day it was priced on."""

    stack: str
    bill: Bill
    cost: TierCost
    today: datetime.date
    findings: tuple[Finding, ...] = ()


def used(bill: Bill, cost: TierCost, prices: Prices) -> dict[str, Price]:
    """Every price that a figure of the report comes from."""
    parts = server_parts(bill, prices)
    card = [] if parts is None or parts.card is None else [parts.card]
    return cost.prices | {item.id: item for item in (*card, *(rent.price for rent in rented(bill, prices)))}


def report(found: Costed, prices: Prices) -> CostReport:
    """The whole of it, rounded."""
    bill, cost = found.bill, found.cost
    parts = server_parts(bill, prices)
    return CostReport(
        stack=found.stack,
        as_of=found.today,
        ok=all(item.severity is not Severity.ERROR for item in found.findings),
        totals=_totals(cost, gpus_in_service(bill, prices)),
        lines=[_line(line) for line in cost.lines],
        components=_components(cost),
        nodes=[
            NodeOut(
                role=node.role,
                count=node.count,
                purchase_usd=rounded(node.purchase_usd),
                **money(node.usd_per_hour),
            )
            for node in by_node(cost, bill)
        ],
        models=[
            ModelOut(name=part.name, gpus=part.gpus, **money(part.usd_per_hour))
            for part in by_model(cost, bill, prices)
        ],
        server=None if parts is None else _server(parts),
        rented=[_rent(rent) for rent in rented(bill, prices)],
        prices=[
            price_out(item, prices, is_stale(item, found.today)) for item in used(bill, cost, prices).values()
        ],
        unpriced_count=len(cost.unpriced),
        unpriced=[redacted(name) for name in cost.unpriced],
        findings=[finding_out(item) for item in found.findings],
    )


def _totals(cost: TierCost, gpus: int) -> Totals:
    low, high = cost.range_per_hour
    return Totals(
        **money(cost.usd_per_hour),
        low_usd_per_month=rounded(low * HOURS_PER_MONTH),
        high_usd_per_month=rounded(high * HOURS_PER_MONTH),
        capex=Money(**money(cost.hourly(Kind.CAPEX))),
        opex=Money(**money(cost.hourly(Kind.OPEX))),
        purchase_usd=rounded(cost.purchase_usd),
        usd_per_gpu_hour=_hourly(cost.usd_per_hour / gpus) if gpus else None,
    )


def _line(line: Line) -> LineOut:
    return LineOut(
        component=line.component,
        name=redacted(line.name),
        kind=line.kind,
        quantity=line.quantity,
        unit=line.unit,
        usd_per_hour=_hourly(line.usd_per_hour),
        usd_per_month=_monthly(line.usd_per_hour),
        low_usd_per_month=_monthly(line.low),
        high_usd_per_month=_monthly(line.high),
        purchase_usd=None if line.purchase_usd is None else rounded(line.purchase_usd),
        prices=list(line.prices),
    )


def _components(cost: TierCost) -> list[ComponentOut]:
    return [
        ComponentOut(
            component=name,
            unpriced_lines=sum(line.component == name and line.usd_per_hour is None for line in cost.lines),
            **money(cost.hourly(component=name)),
        )
        for name in dict.fromkeys(line.component for line in cost.lines)
    ]


def _server(parts: ServerParts) -> PartsOut:
    whole, card = parts.server, parts.card
    return PartsOut(
        price_usd=whole.value,
        low_usd=whole.low,
        high_usd=whole.high,
        cards=parts.cards,
        card_usd=None if card is None else card.value,
        rest_usd=parts.rest_usd,
    )


def _rent(rent: Rent) -> RentOut:
    return RentOut(
        id=rent.price.id,
        provider=rent.offer.provider,
        region=rent.offer.region,
        machines=rent.machines,
        gpus=rent.gpus,
        usd_per_gpu_hour=_hourly(rent.usd_per_gpu_hour),
        usd_per_hour=_hourly(rent.usd_per_hour),
        usd_per_month=_monthly(rent.usd_per_hour),
        source=redacted(rent.price.source),
        as_of=rent.price.as_of,
    )


def price_out(item: Price, prices: Prices, stale: bool) -> PriceOut:
    return PriceOut(
        id=item.id,
        what=prices.what.get(item.id, ""),
        value=item.value,
        low=item.low,
        high=item.high,
        unit=item.unit,
        source=redacted(item.source),
        as_of=item.as_of,
        confidence=item.confidence,
        quoted=item.quoted,
        stale=stale,
    )


def finding_out(item: Finding) -> FindingOut:
    return FindingOut(
        code=str(item.code),
        name=item.code.name,
        severity=item.severity,
        path=item.path,
        message=str(item),
        accepted=item.accepted,
    )


def money(usd_per_hour: Decimal) -> dict[str, Decimal]:
    return {
        "usd_per_hour": rounded(usd_per_hour, HOUR),
        "usd_per_month": rounded(usd_per_hour * HOURS_PER_MONTH),
    }


def _hourly(usd: Decimal | None) -> Decimal | None:
    return None if usd is None else rounded(usd, HOUR)


def _monthly(usd_per_hour: Decimal | None) -> Decimal | None:
    return None if usd_per_hour is None else rounded(usd_per_hour * HOURS_PER_MONTH)


def rounded(value: Decimal, to: Decimal = CENT) -> Decimal:
    """Half away from zero, as money is."""
    return value.quantize(to, ROUND_HALF_UP)
