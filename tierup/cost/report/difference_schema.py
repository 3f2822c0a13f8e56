"""Decides the shape of a cost difference as a program reads it: docs/cost-difference.schema.json comes from it.

Decimals are text in JSON.
"""

import datetime
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import Field

from tierup.cost.report.schema import FindingOut, Money, Out, PriceOut
from tierup.cost.types import HOURS_PER_MONTH
from tierup.stack.sections import StandbyMode


class AmountOut(Money):
    """One side. What has no price is counted and in no sum."""

    purchase_usd: Annotated[Decimal, Field(description="What is paid at once")]
    unpriced_lines: int


class ChangeOut(Money):
    """What is now, less what was: of the rounded amounts."""

    purchase_usd: Decimal
    complete: Annotated[bool, Field(description="Nothing that changes is unpriced: this is all of it")]


class TotalOut(Out):
    """All lines together."""

    past: AmountOut
    now: AmountOut
    changed: Annotated[bool, Field(description="In any way, its quantity too")]
    difference: ChangeOut


class ComponentRow(TotalOut):
    """The lines of one component together."""

    component: str


class LineRow(ComponentRow):
    """One thing that costs, and what of it changes."""

    name: str


class SideOut(Out):
    """What one side of the plan holds."""

    server: str | None
    in_service: int
    standby: int
    standby_mode: StandbyMode
    load_balancers: int
    models: Annotated[dict[str, int], Field(description="GPUs that the replicas at rest of a model hold")]
    unpriced_count: int
    unpriced: Annotated[list[str], Field(description="Price ids without a value, and unknown resources")]


class DifferenceReport(Out):
    """What a Pulumi plan changes in a stack's cost, owned. Keys may be added; none changes its meaning."""

    stack: str
    currency: Literal["USD"] = "USD"
    hours_per_month: int = int(HOURS_PER_MONTH)
    as_of: Annotated[datetime.date, Field(description="The day against which prices are called stale")]
    ok: Annotated[bool, Field(description="No budget is exceeded")]
    operations: Annotated[dict[str, int], Field(description="Pulumi's word, and how many resources")]
    past: SideOut
    now: SideOut
    total: TotalOut
    components: list[ComponentRow]
    lines: list[LineRow]
    prices: Annotated[list[PriceOut], Field(description="Of both sides; one that differs is there twice")]
    findings: list[FindingOut]
