"""The budget policy: whether all resources of a stack cost more than the budget of its tier."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal, InvalidOperation

from tierup.catalog.prices import load_prices
from tierup.cost import Limits, bill_of_resources, price
from tierup.findings.model import Severity
from tierup.plan.model import BudgetPlan
from tierup.policies.rule import Level, Policy, Problem, Violation
from tierup.resources.kinds import TIER
from tierup.resources.model import Resource
from tierup.stack.sections import Budget

BEFORE = "usdPerMonthBefore"
_RULE = "The cost of a whole stack, and the increase by one change, stay within the tier's budget."
_FIX = "use fewer resources, or raise the budget"
BUDGETS = {
    Severity.ERROR: Policy("budget", Level.MANDATORY, _RULE, _FIX),
    Severity.WARNING: Policy("budget-advisory", Level.ADVISORY, _RULE, _FIX),
}


def to_props(budget: BudgetPlan) -> dict[str, object]:
    """The budget as inputs of the tier's component; empty if no monthly limit is set."""
    limits = {
        "monthlyUsd": budget.monthly_usd,
        "maxIncreaseUsdPerMonth": budget.max_increase_usd_per_month,
    }
    props = {key: str(limit) for key, limit in limits.items() if limit is not None}
    return {"budget": {**props, "mode": str(budget.mode)}} if props else {}


def past_to_outputs(usd_per_month: Decimal | None) -> dict[str, object]:
    """The stack's cost before this run as an output of the tier. As an input it would show as a change."""
    return {BEFORE: str(usd_per_month)} if usd_per_month is not None else {}


def past_of(tier: Resource) -> Decimal | None:
    """The stack's cost before this run, from the tier's outputs; None if the tier does not state it."""
    text = tier.inputs.get(BEFORE)
    try:
        past = Decimal(text) if isinstance(text, str) else None
    except InvalidOperation:
        return None
    return past if past is not None and past.is_finite() else None


def from_props(inputs: Mapping[str, object]) -> BudgetPlan | None:
    """The budget in a tier's inputs; None if it is missing or unreadable."""
    try:
        budget = Budget.model_validate_json(json.dumps(inputs.get("budget")))
    except (TypeError, ValueError):
        return None
    if budget.mode is None:
        return None
    return BudgetPlan(None, budget.monthly_usd, budget.max_increase_usd_per_month, budget.mode)


def usd_per_month(resources: Iterable[Resource]) -> Decimal:
    """The monthly cost of resources, USD; resources without a price are not included."""
    return price(bill_of_resources(resources), load_prices()).usd_per_month


def over_budget(now: Sequence[Resource], past: Sequence[Resource] = ()) -> Iterator[Violation]:
    """Violations of a tier's budget by the cost of all resources together.

    `past` are the resources of the stack before the change. Without them, the tier's outputs state the cost before, if
    it is known. The first deployment does not count as an increase.
    """
    cost = None
    for tier in now:
        budget = from_props(tier.inputs) if tier.type == TIER else None
        if budget is None:
            continue
        cost = cost if cost is not None else price(bill_of_resources(now), load_prices())
        before = usd_per_month(past) if past else past_of(tier)
        limits = Limits(budget)
        more = [] if before is None else limits.increase(before, cost.usd_per_month)
        for item in (*limits.month(cost), *more):
            problem = Problem(item.path, item.what, fix=item.fix_or_reason)
            yield Violation(BUDGETS[item.severity], tier.urn, tier.name, problem)
