"""The cost of what a Pulumi plan changes: both sides of it, and the budget that its new side exceeds."""

import datetime
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

from tierup.catalog.prices import Prices
from tierup.cost.bill.kubernetes import label
from tierup.cost.bill.of_resources import bill_of_resources
from tierup.cost.budget import Limits, stale
from tierup.cost.difference import Difference, difference
from tierup.cost.pricing import price
from tierup.cost.types import Bill
from tierup.findings.model import Finding
from tierup.plan.model import BudgetPlan
from tierup.resources.model import Change


@dataclass(frozen=True, slots=True)
class PlanCost:
    """What a plan changes: its bills, and what they cost. `unknown`: resources that change and cannot be priced."""

    operations: Counter[str]
    past: Bill
    now: Bill
    prices: Prices
    cost: Difference
    unknown: frozenset[str]

    @classmethod
    def of(cls, changes: tuple[Change, ...], prices: Prices) -> Self:
        """The cost of a plan, each side with the quotes that stand in it."""
        past = bill_of_resources(change.past for change in changes if change.past is not None)
        now = bill_of_resources(change.now for change in changes if change.now is not None)
        sides = [
            side for change in changes if change.past != change.now for side in (change.past, change.now)
        ]
        touched = {label(side) for side in sides if side is not None}
        return cls(
            Counter(change.operation for change in changes),
            past,
            now,
            prices.with_own({**past.own, **now.own}),
            difference(price(past, prices), price(now, prices)),
            frozenset(touched & {*past.unknown, *now.unknown}),
        )

    def stale_prices(self, today: datetime.date) -> Iterator[Finding]:
        """All prices of the new side that are too old, in one warning."""
        return stale(self.cost.now.prices.values(), today)

    def over_budget(self, budget: BudgetPlan) -> Iterator[Finding]:
        """Every limit that is exceeded; what has no price is in none of the sums."""
        now = self.cost.now
        limits, servers = Limits(budget), self.now.in_service + self.now.standby
        yield from limits.purchase(now, f"what is bought costs, {servers} servers")
        yield from limits.month(now)
        yield from limits.increase(self.cost.past.usd_per_month, now.usd_per_month)
