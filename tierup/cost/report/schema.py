"""Decides the shape of a cost as a program reads it: docs/cost.schema.json comes from it. Decimals are text in JSON."""

import datetime
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from tierup.cost.types import HOURS_PER_MONTH, Kind
from tierup.findings.model import Severity


class Out(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, alias_generator=to_camel, populate_by_name=True)


class Money(Out):
    """USD an hour (six decimals) and a month of 730 hours (cents), each rounded by itself."""

    usd_per_hour: Decimal
    usd_per_month: Decimal


class Totals(Money):
    """All that has a price; `low` and `high` with every price at its cheap and at its dear end."""

    low_usd_per_month: Decimal
    high_usd_per_month: Decimal
    capex: Annotated[Money, Field(description="The part of what was bought that wears out in that time")]
    opex: Money
    purchase_usd: Annotated[Decimal, Field(description="What is paid at once")]
    usd_per_gpu_hour: Annotated[Decimal | None, Field(description="By the GPUs in service")]


class LineOut(Out):
    """One cost; null where it is not priced."""

    component: str
    name: str
    kind: Kind
    quantity: Decimal
    unit: str
    usd_per_hour: Decimal | None
    usd_per_month: Decimal | None
    low_usd_per_month: Decimal | None
    high_usd_per_month: Decimal | None
    purchase_usd: Decimal | None
    prices: Annotated[list[str], Field(description="Ids of the prices it is computed from")]


class ComponentOut(Money):
    """The lines of one component together."""

    component: str
    unpriced_lines: int


class NodeOut(Money):
    """What each of `count` servers costs, without what the tier has once."""

    role: str
    count: int
    purchase_usd: Decimal


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
    machines: int
    gpus: int
    usd_per_gpu_hour: Decimal | None
    usd_per_hour: Decimal | None
    usd_per_month: Decimal | None
    source: str
    as_of: datetime.date


class PriceOut(Out):
    """One price or factor that a line uses; `value` null: not priced."""

    id: str
    what: str
    value: Decimal | None
    low: Decimal | None
    high: Decimal | None
    unit: str
    source: str
    as_of: datetime.date
    confidence: Literal["high", "medium", "low"]
    quoted: Annotated[bool, Field(description="The stack's own, not the catalogue's")]
    stale: bool


class FindingOut(Out):
    """One finding; docs/findings.md explains its code."""

    code: str
    name: str
    severity: Severity
    path: str
    message: str
    accepted: str | None


class CostReport(Out):
    """What a tier costs, owned, and the same GPUs rented. Keys may be added; none changes its meaning."""

    stack: str
    currency: Literal["USD"] = "USD"
    hours_per_month: int = int(HOURS_PER_MONTH)
    as_of: Annotated[datetime.date, Field(description="The day against which prices are called stale")]
    ok: Annotated[bool, Field(description="No budget is exceeded")]
    totals: Totals
    lines: list[LineOut]
    components: list[ComponentOut]
    nodes: list[NodeOut]
    models: list[ModelOut]
    server: PartsOut | None
    rented: list[RentOut]
    prices: list[PriceOut]
    unpriced_count: int
    unpriced: Annotated[list[str], Field(description="Price ids without a value, and unknown resources")]
    findings: list[FindingOut]
