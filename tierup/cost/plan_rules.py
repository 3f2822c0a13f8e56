"""Decides which budget a plan exceeds: what its now side costs, and what the change adds."""

from collections.abc import Iterator

from tierup.cost.budget import exceeded, increase, over_month
from tierup.cost.report.difference_build import Planned
from tierup.findings.model import Code, Finding
from tierup.plan.model import BudgetPlan


def over_budget(budget: BudgetPlan, found: Planned) -> Iterator[Finding]:
    """Every limit that is exceeded; what has no price is in none of the sums."""
    now = found.cost.now
    problem = f"is less than what is bought costs, {found.now.in_service + found.now.standby} servers"
    finding = Finding(Code.OVER_BUDGET, "budget.capexUsd", problem, "use fewer servers")
    yield from exceeded(budget, finding, budget.capex_usd, now.purchase_usd)
    yield from over_month(budget, now)
    yield from increase(budget, found.cost.past.usd_per_month, now.usd_per_month)
