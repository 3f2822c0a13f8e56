"""Decides whether all that a program holds costs more than its tier's budget, and how that stands in Pulumi's plan."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal, InvalidOperation

from tierup.catalog.prices import load_prices
from tierup.cost import bill_of_resources, price
from tierup.cost.bill.of_resources import TIER
from tierup.cost.budget import increase, over_month
from tierup.findings.model import Severity
from tierup.plan.model import BudgetPlan
from tierup.policies.rule import Level, Policy, Problem, Violation
from tierup.resources.model import Resource
from tierup.stack.sections import Budget

BEFORE = "usdPerMonthBefore"
_SAYS = "All that a stack holds, and what one change adds, stays within its tier's budget."
_FIX = "use less, or raise the budget"
BUDGETS = {
    Severity.ERROR: Policy("budget", Level.MANDATORY, _SAYS, _FIX),
    Severity.WARNING: Policy("budget-advisory", Level.ADVISORY, _SAYS, _FIX),
}


def to_props(budget: BudgetPlan) -> dict[str, object]:
    """What the tier's component is given besides its other inputs: nothing where a month has no limit."""
    limits = {
        "monthlyUsd": budget.monthly_usd,
        "maxIncreaseUsdPerMonth": budget.max_increase_usd_per_month,
    }
    said = {key: str(limit) for key, limit in limits.items() if limit is not None}
    return {"budget": {**said, "mode": str(budget.mode)}} if said else {}


def past_to_outputs(usd_per_month: Decimal | None) -> dict[str, object]:
    """What a tier tells of its stack's cost before this run. An output, because an input that changes is a change."""
    return {BEFORE: str(usd_per_month)} if usd_per_month is not None else {}


def past_of(tier: Resource) -> Decimal | None:
    """What a tier tells of its stack's cost before; None where it does not."""
    said = tier.inputs.get(BEFORE)
    try:
        past = Decimal(said) if isinstance(said, str) else None
    except InvalidOperation:
        return None
    return past if past is not None and past.is_finite() else None


def from_props(inputs: Mapping[str, object]) -> BudgetPlan | None:
    """The budget in a tier's inputs; None where there is none that can be read."""
    try:
        said = Budget.model_validate_json(json.dumps(inputs.get("budget")))
    except (TypeError, ValueError):
        return None
    if said.mode is None:
        return None
    return BudgetPlan(None, said.monthly_usd, said.max_increase_usd_per_month, said.mode)


def usd_per_month(resources: Iterable[Resource]) -> Decimal:
    """What resources cost a month; what has no price is not counted."""
    return price(bill_of_resources(resources), load_prices()).usd_per_month


def over_budget(now: Sequence[Resource], past: Sequence[Resource] = ()) -> Iterator[Violation]:
    """Where the budget of a tier among the resources is exceeded by all of them.

    `past` is what the stack held before the change. Without it a tier tells what that cost, if anybody knows. What is
    made first is no increase.
    """
    cost = None
    for tier in now:
        budget = from_props(tier.inputs) if tier.type == TIER else None
        if budget is None:
            continue
        cost = cost if cost is not None else price(bill_of_resources(now), load_prices())
        before = usd_per_month(past) if past else past_of(tier)
        more = [] if before is None else increase(budget, before, cost.usd_per_month)
        for item in (*over_month(budget, cost), *more):
            problem = Problem(item.path, item.what, fix=item.then)
            yield Violation(BUDGETS[item.severity], tier.urn, tier.name, problem)
