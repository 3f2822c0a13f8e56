"""Findings: a budget is exceeded, by one change too, or prices are too old to be relied on."""

import datetime
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal

from tierup.catalog.price import Price
from tierup.cost.parts import MOST_REST, ServerParts
from tierup.cost.pricing import STALE_DAYS, is_stale
from tierup.cost.types import TierCost
from tierup.findings.model import Code, Finding, Severity, warning
from tierup.plan.model import BudgetPlan
from tierup.stack.sections import BudgetMode


@dataclass(frozen=True, slots=True)
class Limits:
    """What a cost is held against. What exceeds an advisory budget is a warning."""

    budget: BudgetPlan

    def purchase(self, cost: TierCost, what: str) -> Iterator[Finding]:
        """What is bought, spares included; `what` says so for the message."""
        problem = f"is less than {what}"
        finding = Finding(Code.OVER_BUDGET, "budget.capexUsd", problem, "use fewer servers")
        yield from self._exceeded(finding, self.budget.capex_usd, cost.purchase_usd)

    def month(self, cost: TierCost) -> Iterator[Finding]:
        """A month's cost; what has no price comes on top."""
        problem = "is less than a month costs"
        if cost.unpriced:
            problem += f", {len(cost.unpriced)} unpriced not counted"
        finding = Finding(Code.OVER_MONTHLY_BUDGET, "budget.monthlyUsd", problem, "use fewer servers")
        yield from self._exceeded(finding, self.budget.monthly_usd, cost.usd_per_month)

    def increase(self, before: Decimal, after: Decimal) -> Iterator[Finding]:
        """What one change adds to a month, USD; what is made first is no increase."""
        if not before:
            return
        problem = "is less than this change adds to a month"
        finding = Finding(Code.OVER_INCREASE, "budget.maxIncreaseUsdPerMonth", problem, "split the change")
        yield from self._exceeded(finding, self.budget.max_increase_usd_per_month, after - before)

    def _exceeded(self, finding: Finding, limit: Decimal | None, needed: Decimal) -> Iterator[Finding]:
        """The finding with the figures where `needed` is above the limit."""
        if limit is not None and needed > limit:
            severity = Severity.WARNING if self.budget.mode is BudgetMode.ADVISORY else Severity.ERROR
            fix = f"raise it to {math.ceil(needed)}, or {finding.fix}"
            got, allowed = f"${limit:,f}", f"at least ${math.ceil(needed):,}"
            yield Finding(finding.code, finding.path, finding.problem, fix, got, allowed, severity)


def implausible(parts: ServerParts | None) -> Iterator[Finding]:
    """A server's price of which the cards are a part that can hardly be right."""
    if parts is None or not parts.implausible() or parts.rest_share is None or parts.rest_usd is None:
        return
    cards = f"{parts.cards} cards at {parts.card_usd:,f} USD"
    if parts.rest_share <= 0:
        problem = f"leaves nothing for the server beside its {cards}"
    else:
        problem = f"leaves {parts.rest_usd:,f} USD, {parts.rest_share:.0%} of it, beside its {cards}"
    fix = "quote what you pay for the server, and for a card if that is wrong; docs/cost.md has the rule"
    got = f"{parts.price_usd:,f} USD; plausible is up to {MOST_REST:.0%} beside the cards"
    yield warning(Code.SERVER_PRICE, "cost.quotes", f"the price of {parts.server.id} {problem}", fix, got)


def stale(prices: Iterable[Price], today: datetime.date) -> Iterator[Finding]:
    """All prices that are too old, in one warning."""
    priced = [item for item in prices if item.value is not None]
    old = [item for item in priced if is_stale(item, today)]
    if old:
        ages = ", ".join(f"{item.id} {(today - item.as_of).days} days" for item in old)
        problem = f"{len(old)} of {len(priced)} prices are older than {STALE_DAYS} days"
        fix = "quote your own: `tierup:cost: {quotes: {ID: {value: ..., source: ..., asOf: ...}}}`"
        yield warning(Code.STALE_PRICE, "cost.quotes", problem, fix, ages)
