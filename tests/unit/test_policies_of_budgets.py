"""A tier's budget against the cost of all resources of its program, before and after a change."""

import dataclasses
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pulumi
import pulumi_kubernetes as k8s
import pytest
from fake_engine import Run, run_program
from policed import resource

from components.tier import InferenceTier, TierArgs
from tierup.cost import bill_of, bill_of_resources
from tierup.plan.model import Plan
from tierup.policies.budget import BEFORE, over_budget, usd_per_month
from tierup.policies.rule import Level
from tierup.resources.model import UNKNOWN, Resource, resources_of

MakePlan = Callable[..., Plan]
QUOTE = {"storage": {"value": "0.10", "source": "a quote of this test", "asOf": "2026-11-01"}}
CLAIM = resource(
    "kubernetes:core/v1:PersistentVolumeClaim",
    {"metadata": {"name": "theirs"}, "spec": {"resources": {"requests": {"storage": "1000Gi"}}}},
)  # 100 USD a month


def run_tier(plan: Plan, before: Decimal | None = None) -> Run:
    def program() -> InferenceTier:
        arguments = TierArgs(plan, k8s.Provider("cluster"), pulumi.Output.secret, before)
        return InferenceTier(plan.stack, arguments)

    return run_program(program, stack=plan.stack)


def as_received(run: Run) -> list[Resource]:
    """The resources as a stack policy receives them: a component has its registered inputs."""
    return [
        Resource(
            item.urn,
            item.type,
            item.name,
            item.parent,
            item.inputs if item.custom else run.outputs[item.urn],
            item.custom,
        )
        for item in run.resources.values()
    ]


def tier(make_plan: MakePlan, *, before: Decimal | None = None, **budget: str) -> list[Resource]:
    plan = make_plan(cost={"quotes": QUOTE}, **({"budget": budget} if budget else {}))
    return as_received(run_tier(plan, before))


def violated(now: list[Resource], past: list[Resource] | None = None) -> list[tuple[str, str]]:
    return [
        (item.policy.name, item.problem.path) for item in over_budget(now, past if past is not None else [])
    ]


@pytest.fixture
def month(make_plan: MakePlan) -> Decimal:
    """The tier's monthly cost alone."""
    return usd_per_month(tier(make_plan))


def test_what_components_register_is_billed_as_the_plan_is(make_plan: MakePlan) -> None:
    plan = make_plan(cost={"quotes": QUOTE})
    run = run_tier(plan)
    assert bill_of_resources(as_received(run)) == bill_of(plan)
    for item in run.resources.values():
        if item.type.startswith("tierup:"):
            assert item.inputs.items() <= run.outputs[item.urn].items(), item.type


def test_the_past_read_from_the_state_costs_what_the_resources_did(
    make_plan: MakePlan, month: Decimal
) -> None:
    state = {item.urn: {"type": item.type, "outputs": item.inputs} for item in tier(make_plan)}
    assert usd_per_month(resources_of(state)) == month > 0
    assert usd_per_month(resources_of({})) == 0


def test_without_a_budget_nothing_is_violated(make_plan: MakePlan) -> None:
    assert violated([*tier(make_plan), CLAIM]) == []


@pytest.mark.parametrize(
    ("mode", "policy"), [("mandatory", "budget"), ("advisory", "budget-advisory"), (None, "budget")]
)
def test_foreign_resources_count(make_plan: MakePlan, month: Decimal, mode: str | None, policy: str) -> None:
    settings = {"mode": mode} if mode is not None else {}
    alone = tier(make_plan, before=None, monthlyUsd=str(month), **settings)
    assert violated(alone) == []
    assert violated([*alone, CLAIM]) == [(policy, "budget.monthlyUsd")]
    (found,) = over_budget([*alone, CLAIM])
    assert (found.policy.level is Level.MANDATORY) is (mode != "advisory")
    assert "raise it to" in found.message


def test_an_increase_is_judged_by_the_past_of_a_plan(make_plan: MakePlan) -> None:
    """The claim is 100 USD a month."""
    for limit, expected in (("99.99", [("budget", "budget.maxIncreaseUsdPerMonth")]), ("100", [])):
        before = tier(make_plan, maxIncreaseUsdPerMonth=limit)
        assert violated([*before, CLAIM], before) == expected
        assert violated(before, [*before, CLAIM]) == [], "a decrease"


def test_in_a_preview_the_tier_has_its_past_cost(make_plan: MakePlan, month: Decimal) -> None:
    for before, expected in ((month, [("budget", "budget.maxIncreaseUsdPerMonth")]), (month + 100, [])):
        assert violated([*tier(make_plan, before=before, maxIncreaseUsdPerMonth="50"), CLAIM]) == expected


@pytest.mark.parametrize("before", [None, Decimal(0)])
def test_a_first_deployment_is_no_increase(make_plan: MakePlan, before: Decimal | None) -> None:
    assert violated(tier(make_plan, before=before, maxIncreaseUsdPerMonth="0")) == []


@pytest.mark.parametrize(
    "value", [UNKNOWN, None, "much", {"monthlyUsd": "1"}, {"mode": 1}, {"monthlyUsd": -1}, [1]]
)
def test_a_budget_that_cannot_be_read_is_none(make_plan: MakePlan, value: object) -> None:
    def changed(item: Resource, key: str) -> Resource:
        inputs = {**item.inputs, key: value}
        return dataclasses.replace(item, inputs=inputs) if item.type.endswith("InferenceTier") else item

    limited = tier(make_plan, before=Decimal(1), maxIncreaseUsdPerMonth="0")
    assert len(violated(limited)) == 1
    assert violated([changed(item, "budget") for item in limited]) == []
    assert violated([changed(item, BEFORE) for item in limited]) == []


def test_the_plan_has_the_budget_and_past_cost_only_if_the_month_is_limited(make_plan: MakePlan) -> None:
    def of_tier(run: Run) -> tuple[dict[str, Any], dict[str, Any]]:
        item = run.one("tierup:index:InferenceTier")
        return item.inputs, run.outputs[item.urn]

    inputs, outputs = of_tier(run_tier(make_plan(budget={"capexUsd": 1_000_000})))
    assert "budget" not in inputs
    assert BEFORE not in outputs
    inputs, outputs = of_tier(run_tier(make_plan(budget={"monthlyUsd": 9000.5}), Decimal("1.50")))
    assert inputs["budget"] == {"monthlyUsd": "9000.5", "mode": "mandatory"}
    assert outputs[BEFORE] == "1.50"
    assert BEFORE not in inputs, "an input that changes with each run would be a change"
