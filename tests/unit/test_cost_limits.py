"""Budgets on both sides of their limits, and quotes wherever a price is shown."""

from decimal import Decimal
from typing import Any

import pytest
from bills import TODAY, bill
from rich.console import Console
from small_stack import small_plan

from tierup.catalog.prices import load_prices
from tierup.cli.plan_page import show
from tierup.compare.tiers import price as price_of
from tierup.cost import price
from tierup.cost.budget import increase, over_month, stale
from tierup.findings.model import Severity
from tierup.plan.model import BudgetPlan
from tierup.stack.sections import BudgetMode

BEFORE = Decimal("700.5")
QUOTED: dict[str, Any] = {
    "cost": {
        "quotes": {
            "standard-2x-a100-80g-pcie": {"value": 55_000, "source": "quote 8123", "asOf": "2026-11-02"},
        }
    }
}


def budget(mode: BudgetMode = BudgetMode.MANDATORY, **limits: str) -> BudgetPlan:
    usd = {name: Decimal(value) for name, value in limits.items()}
    return BudgetPlan(
        usd.get("capex_usd"), usd.get("monthly_usd"), usd.get("max_increase_usd_per_month"), mode
    )


@pytest.mark.parametrize(
    ("more", "exceeded"), [("99.99", False), ("100", False), ("100.01", True), ("-500", False)]
)
def test_what_a_change_may_add(more: str, exceeded: bool) -> None:
    findings = list(increase(budget(max_increase_usd_per_month="100"), BEFORE, BEFORE + Decimal(more)))
    assert bool(findings) is exceeded
    assert list(increase(budget(), BEFORE, BEFORE + Decimal(more))) == []


def test_what_a_change_adds_too_much_is_reported_in_whole_dollars_that_suffice() -> None:
    (finding,) = increase(budget(max_increase_usd_per_month="99.5"), BEFORE, BEFORE + Decimal("1234.001"))
    assert str(finding) == (
        "TIER122 budget.maxIncreaseUsdPerMonth: is less than this change adds to a month "
        "(got $99.5; allowed at least $1,235) - raise it to 1235, or split the change"
    )


def test_no_increase_at_all_is_a_limit() -> None:
    assert list(increase(budget(max_increase_usd_per_month="0"), BEFORE, BEFORE)) == []
    assert list(increase(budget(max_increase_usd_per_month="0"), BEFORE, BEFORE + Decimal("0.01")))


def test_a_first_deployment_is_no_increase() -> None:
    assert list(increase(budget(max_increase_usd_per_month="0"), Decimal(0), BEFORE)) == []


@pytest.mark.parametrize("mode", BudgetMode)
def test_the_mode_decides_the_severity(mode: BudgetMode) -> None:
    severity = Severity.ERROR if mode is BudgetMode.MANDATORY else Severity.WARNING
    cost = price(bill(), load_prices(), TODAY)
    (month,) = over_month(budget(mode, monthly_usd="1"), cost)
    (more,) = increase(budget(mode, max_increase_usd_per_month="1"), BEFORE, BEFORE + 2)
    assert {month.severity, more.severity} == {severity}


def test_a_month_s_budget_is_exact_to_the_last_digit() -> None:
    cost = price(bill(), load_prices(), TODAY)
    exactly = str(cost.usd_per_month)
    assert list(over_month(budget(monthly_usd=exactly), cost)) == []
    assert list(over_month(budget(monthly_usd=str(cost.usd_per_month - Decimal("0.01"))), cost))


def test_fresh_prices_are_no_finding() -> None:
    every = load_prices().by_id.values()
    assert list(stale([item for item in every if item.as_of == TODAY], TODAY)) == []
    (finding,) = stale(every, TODAY)
    assert "labour" not in finding.what


def test_a_quote_holds_in_the_plan_and_in_the_comparison_too() -> None:
    out = Console(record=True, width=200, color_system=None)
    show(small_plan(**QUOTED), out)
    assert "purchase price with spares: $55,000" in out.export_text()
    assert price_of(small_plan(**QUOTED), 3).p50 == 165_000
    assert price_of(small_plan(), 3).p50 == 180_000
