"""Findings: a budget is exceeded, by one change too, or prices are too old to be relied on."""

import datetime
import math
from collections.abc import Iterable, Iterator
from decimal import Decimal

from tierup.catalog.price import Price
from tierup.cost.pricing import STALE_DAYS, is_stale
from tierup.cost.types import TierCost
from tierup.findings.model import Code, Finding, Severity, warning
from tierup.plan.model import BudgetPlan
from tierup.stack.sections import BudgetMode


def exceeded(
    budget: BudgetPlan, finding: Finding, limit: Decimal | None, needed: Decimal
) -> Iterator[Finding]:
    """The finding with the figures where `needed` is above the limit; of an advisory budget, as a warning."""
    if limit is not None and needed > limit:
        severity = Severity.WARNING if budget.mode is BudgetMode.ADVISORY else Severity.ERROR
        fix = f"raise it to {math.ceil(needed)}, or {finding.fix}"
        got, allowed = f"${limit:,f}", f"at least ${math.ceil(needed):,}"
        yield Finding(finding.code, finding.path, finding.problem, fix, got, allowed, severity)


def increase(budget: BudgetPlan, before: Decimal, after: Decimal) -> Iterator[Finding]:
    """What one change adds to a month, USD, against the limit; what is made first is no increase."""
    if not before:
        return
    problem = "is less than this change adds to a month"
    finding = Finding(Code.OVER_INCREASE, "budget.maxIncreaseUsdPerMonth", problem, "split the change")
    yield from exceeded(budget, finding, budget.max_increase_usd_per_month, after - before)


def stale(prices: Iterable[Price], today: datetime.date) -> Iterator[Finding]:
    """All prices that are too old, in one warning."""
    priced = [item for item in prices if item.value is not None]
    old = [item for item in priced if is_stale(item, today)]
    if old:
        ages = ", ".join(f"{item.id} {(today - item.as_of).days} days" for item in old)
        problem = f"{len(old)} of {len(priced)} prices are older than {STALE_DAYS} days"
        fix = "quote your own: `tierup:cost: {quotes: {ID: {value: ..., source: ..., asOf: ...}}}`"
        yield warning(Code.STALE_PRICE, "cost.quotes", problem, fix, ages)


def over_month(budget: BudgetPlan, cost: TierCost) -> Iterator[Finding]:
    """A month's cost against the budget; what has no price comes on top."""
    problem = "is less than a month costs"
    if cost.unpriced:
        problem += f", {len(cost.unpriced)} unpriced not counted"
    finding = Finding(Code.OVER_MONTHLY_BUDGET, "budget.monthlyUsd", problem, "use fewer servers")
    yield from exceeded(budget, finding, budget.monthly_usd, cost.usd_per_month)
