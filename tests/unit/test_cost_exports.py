"""Exports have the cost of the preview: FOCUS rows add up to it, and OpenCost's own formula computes it."""

import datetime
from dataclasses import replace
from decimal import Decimal

import pytest
from cost_shapes import AMORTISED, DAY, H100, any_costs, bought, cost_of, dec, paid
from focus_columns import COLUMNS, read
from tier_plans import every_variant, plan_of

from tierup.catalog.price import Price
from tierup.catalog.prices import load_prices
from tierup.cost import bill_of, focus_table, price
from tierup.cost.bill.of_plan import claimed_gib
from tierup.cost.export.opencost import custom_pricing
from tierup.cost.types import HOURS_PER_MONTH, Bill, Kind, TierCost, Volume
from tierup.plan.model import Plan
from tierup.stack.sections import StandbyMode

CENT = dec("0.01")


def quotes(**values: str) -> dict[str, Price]:
    """Prices for the items that have none in the catalogue."""
    units = {name: item.unit for name, item in load_prices().by_id.items()}
    named = {name.replace("_", "-"): dec(value) for name, value in values.items()}
    return {
        name: Price(name, value, units[name], "our quote", DAY, "high", quoted=True)
        for name, value in named.items()
    }


ALL_QUOTED = quotes(
    labour="150", maintenance="0.03", storage="0.10", load_balancer="18", switch_ethernet="4000"
)


def quoted(bill: Bill) -> TierCost:
    return price(replace(bill, quotes=bill.quotes | ALL_QUOTED), load_prices())


# FOCUS


def test_a_node_is_one_purchase_and_hours_with_its_depreciation() -> None:
    rows = read(focus_table(H100, "premium", datetime.date(2026, 11, 25)))
    purchases = [row for row in rows if row["ChargeCategory"] == "Purchase"]
    assert [(row["BilledCost"], row["EffectiveCost"]) for row in purchases] == [("310000", "0")]
    node = [row for row in rows if row["ChargeCategory"] == "Usage" and row["ResourceType"] == "nodes"]
    assert len(node) == 720  # the hours of November
    assert {row["BilledCost"] for row in node} == {"0"}
    # By hand: 310,000 USD / 48 months / 730 hours = 8.847031963470 USD, 720 hours of it.
    assert {row["EffectiveCost"] for row in node} == {"8.84703196347"}
    assert sum((dec(row["EffectiveCost"]) for row in node), dec(0)).quantize(CENT) == dec("6369.86")
    power = [row for row in rows if row["ResourceType"] == "power"]
    assert {(row["BilledCost"], row["EffectiveCost"]) for row in power} == {("1.216061", "1.216061")}


@every_variant
def test_every_tier_is_valid_focus_and_adds_up_to_its_cost(plan: Plan) -> None:
    cost = quoted(bill_of(plan))
    rows = read(focus_table(cost, plan.stack, datetime.date(2027, 2, 1)))
    hours = 28 * 24
    usage: dict[tuple[str, str], list[dict[str, str]]] = {}
    for row in rows:
        if row["ChargeCategory"] == "Usage":
            usage.setdefault((row["ResourceType"], row["ResourceName"]), []).append(row)
    for line in cost.lines:
        mine = usage.get((line.component, line.name), [])
        if line.usd_per_hour is None:
            assert mine == []
            continue
        effective = sum((dec(row["EffectiveCost"]) for row in mine), dec(0))
        assert effective.quantize(CENT) == (line.usd_per_hour * hours).quantize(CENT)
    billed = sum((dec(row["BilledCost"]) for row in rows), dec(0))
    running = cost.hourly(Kind.OPEX) * hours
    assert billed.quantize(CENT) == (cost.purchase_usd + running).quantize(CENT)


def test_hours_follow_each_other_through_the_whole_month() -> None:
    rows = read(focus_table(H100, "premium", datetime.date(2028, 2, 29)))
    hours = [row for row in rows if row["ResourceType"] == "power"]
    assert hours[0]["ChargePeriodStart"] == hours[0]["BillingPeriodStart"] == "2028-02-01T00:00:00Z"
    assert hours[-1]["ChargePeriodEnd"] == hours[-1]["BillingPeriodEnd"] == "2028-03-01T00:00:00Z"
    starts = [row["ChargePeriodStart"] for row in hours[1:]]
    assert starts == [row["ChargePeriodEnd"] for row in hours[:-1]]


def test_an_unpriced_item_has_no_row_instead_of_a_zero() -> None:
    cost = cost_of(paid("1.50"), paid(None, "labour", "labour"), unpriced=("labour",))
    rows = read(focus_table(cost, "entry", DAY))
    assert {row["ResourceType"] for row in rows} == {"power"}


def test_a_purchase_without_a_lifetime_has_no_row_either() -> None:
    assert read(focus_table(cost_of(bought("4000", None), unpriced=("life",)), "entry", DAY)) == []


def test_any_cost_is_valid_focus() -> None:
    for cost in any_costs(seed=11, count=3):
        rows = read(focus_table(cost, "any", DAY))
        effective = sum((dec(row["EffectiveCost"]) for row in rows), dec(0))
        assert effective.quantize(CENT) == (cost.usd_per_hour * 720).quantize(CENT)


@pytest.mark.parametrize(
    ("column", "text"),
    [
        ("BilledCost", "1e5"),
        ("BilledCost", ""),
        ("ChargeCategory", "Bought"),
        ("ChargePeriodStart", "2026-11-25 00:00:00"),
        ("BillingCurrency", "usd"),
    ],
)
def test_the_column_list_detects_a_wrong_cell(column: str, text: str) -> None:
    assert not COLUMNS[column].fits(text)


# OpenCost


def opencost_hour(
    pricing: dict[str, str], nodes: list[tuple[int, int, int]], gib: int, balancers: int
) -> float:
    """The cost of an hour by OpenCost's custom provider: nodes are (cores, GiB of memory, GPUs).

    pkg/costmodel: cores x CPU + GiB x RAM + GPUs x GPU for each node, GiB x storage for each volume;
    customprovider.go: one forwarding rule, under the first five, for each load balancer.
    """
    usd = {name: float(pricing[name]) for name in ("CPU", "RAM", "GPU", "storage")}
    machines = sum(
        cores * usd["CPU"] + memory * usd["RAM"] + gpus * usd["GPU"] for cores, memory, gpus in nodes
    )
    return machines + gib * usd["storage"] + balancers * float(pricing["firstFiveForwardingRulesCost"])


@every_variant
@pytest.mark.parametrize("warm", [False, True], ids=["as-it-is", "warm-spares"])
def test_opencost_computes_the_cost_that_the_preview_shows(plan: Plan, warm: bool) -> None:
    if warm:
        plan = replace(plan, nodes=replace(plan.nodes, standby_mode=StandbyMode.WARM))
    server, nodes = plan.nodes.server, plan.nodes.schedulable
    cost = quoted(replace(bill_of(plan), load_balancers=1))
    gib = claimed_gib(plan)
    pricing = custom_pricing(cost, plan.stack, plan.nodes.gpus_schedulable, gib)
    each = (server.cpu.threads.value, server.memory.gb.value, server.gpus.value)
    counted = opencost_hour(pricing, [each] * len(nodes), gib, balancers=1)
    assert cost.usd_per_hour > 0
    assert Decimal(counted * 730).quantize(CENT) == (cost.usd_per_hour * HOURS_PER_MONTH).quantize(CENT)


def test_a_model_is_charged_for_the_gpus_of_its_pods() -> None:
    # By hand: 10.063093 USD for 8 GPUs.
    pricing = custom_pricing(H100, "premium", gpus=8, gib=0)
    assert dec(pricing["GPU"]) == dec("1.257886620434")
    assert pricing["CPU"] == pricing["RAM"] == "0"
    assert abs(dec(pricing["GPU"]) * 8 - AMORTISED - dec("1.216061")) < dec("1e-10")


def test_volumes_and_load_balancers_have_prices_of_their_own() -> None:
    cost = cost_of(
        paid("8"),
        paid("0.5", "storage", "weights", "storage"),
        paid("0.06", "network", "load balancers", "load-balancer", quantity=3),
    )
    pricing = custom_pricing(cost, "entry", gpus=2, gib=250)
    assert (pricing["GPU"], pricing["storage"], pricing["firstFiveForwardingRulesCost"]) == (
        "4",
        "0.002",
        "0.02",
    )


def test_a_cost_that_nothing_in_the_cluster_can_carry_is_an_error() -> None:
    with pytest.raises(ValueError, match="no GPUs in the cluster"):
        custom_pricing(H100, "premium", gpus=0, gib=0)
    stored = cost_of(paid("0.5", "storage", "weights", "storage"))
    with pytest.raises(ValueError, match="no GiB of volumes"):
        custom_pricing(stored, "entry", gpus=2, gib=0)


def test_the_file_names_what_is_not_priced() -> None:
    cost = cost_of(paid("1"), paid(None, "labour", "labour"), unpriced=("labour",))
    assert "not priced: labour" in custom_pricing(cost, "entry", gpus=1, gib=0)["description"]


def test_a_claim_on_a_class_is_in_the_bill() -> None:
    plan = plan_of("entry")
    cost = quoted(replace(bill_of(plan), volumes=(Volume("weights", 100, "fast"),)))
    assert cost.hourly(component="storage") == dec("0.10") * 100 / 730
