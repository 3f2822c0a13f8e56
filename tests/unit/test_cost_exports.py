"""Exports have the cost of the preview: FOCUS rows add up to it, and OpenCost's own formula computes it."""

import datetime
from dataclasses import replace
from decimal import Decimal

import pytest
from cost_shapes import AMORTISED, DAY, H100, any_costs, bought, cost_of, dec, paid
from focus_columns import COLUMNS, read
from tier_plans import every_variant, plan_of

from tierup.catalog.price import HOURS_PER_MONTH, Price
from tierup.catalog.prices import load_prices
from tierup.cost import bill_of, price
from tierup.cost.bill.of_plan import claimed_gib
from tierup.cost.export.focus import Account, focus_table
from tierup.cost.export.opencost import custom_pricing
from tierup.cost.types import Bill, Kind, TierCost, Volume
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


def bought_on(stack: str, year: int, month: int, day: int) -> Account:
    return Account(stack, purchased=datetime.date(year, month, day))


def test_a_node_is_one_purchase_and_hours_with_its_depreciation() -> None:
    rows = read(focus_table(H100, bought_on("premium", 2026, 11, 1), datetime.date(2026, 11, 25)))
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
    rows = read(focus_table(cost, bought_on(plan.stack, 2027, 2, 1), datetime.date(2027, 2, 1)))
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
    rows = read(focus_table(H100, bought_on("premium", 2026, 10, 2), datetime.date(2028, 2, 29)))
    hours = [row for row in rows if row["ResourceType"] == "power"]
    assert hours[0]["ChargePeriodStart"] == hours[0]["BillingPeriodStart"] == "2028-02-01T00:00:00Z"
    assert hours[-1]["ChargePeriodEnd"] == hours[-1]["BillingPeriodEnd"] == "2028-03-01T00:00:00Z"
    starts = [row["ChargePeriodStart"] for row in hours[1:]]
    assert starts == [row["ChargePeriodEnd"] for row in hours[:-1]]


def test_an_unpriced_item_has_no_row_instead_of_a_zero() -> None:
    cost = cost_of(paid("1.50"), paid(None, "labour", "labour"), unpriced=("labour",))
    rows = read(focus_table(cost, Account("entry"), DAY))
    assert {row["ResourceType"] for row in rows} == {"power"}


def test_a_purchase_without_a_lifetime_has_no_row_either() -> None:
    assert (
        read(
            focus_table(
                cost_of(bought("4000", None), unpriced=("life",)), bought_on("entry", 2026, 11, 1), DAY
            )
        )
        == []
    )


def test_any_cost_is_valid_focus() -> None:
    for cost in any_costs(seed=11, count=3):
        rows = read(focus_table(cost, Account("any"), DAY))
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


NODE = {"nvidia.com/gpu.present": "true"}  # as GPU feature discovery labels a server with GPUs


def opencost_hour(
    pricing: dict[str, str],
    nodes: list[tuple[int, int, int]],
    gib: int,
    balancers: int,
    *,
    labels: dict[str, str] = NODE,
    finds_gpus_itself: bool = True,
) -> float:
    """The cost of an hour by the documented arithmetic of OpenCost's custom provider, not by OpenCost itself.

    Nodes are (cores, GiB of memory, GPUs) with `labels`. pkg/costmodel: cores x CPU + GiB x RAM + GPUs x GPU for each
    node, GiB x storage for each volume; customprovider.go: one forwarding rule, under the first five, for each load
    balancer. Since pull request 3830 the provider `finds_gpus_itself` in a node's capacity. Before, a node without the
    label that `gpuLabel` names has no price for its GPUs.
    """
    usd = {name: float(pricing[name]) for name in ("CPU", "RAM", "GPU", "storage")}
    gpu = usd["GPU"] if finds_gpus_itself or pricing.get("gpuLabel") in labels else 0.0
    machines = sum(cores * usd["CPU"] + memory * usd["RAM"] + gpus * gpu for cores, memory, gpus in nodes)
    return machines + gib * usd["storage"] + balancers * float(pricing["firstFiveForwardingRulesCost"])


@every_variant
@pytest.mark.parametrize("finds_gpus_itself", [True, False], ids=["current-opencost", "before-pr-3830"])
@pytest.mark.parametrize("warm", [False, True], ids=["as-it-is", "warm-spares"])
def test_opencost_s_documented_arithmetic_gives_the_cost_that_the_preview_shows(
    plan: Plan, warm: bool, finds_gpus_itself: bool
) -> None:
    if warm:
        plan = replace(plan, nodes=replace(plan.nodes, standby_mode=StandbyMode.WARM))
    server, nodes = plan.nodes.server, plan.nodes.schedulable
    cost = quoted(replace(bill_of(plan), load_balancers=1))
    gib = claimed_gib(plan)
    pricing = custom_pricing(cost, plan.stack, plan.nodes.gpus_schedulable, gib)
    each = (server.cpu.threads.value, server.memory.gb.value, server.gpus.value)
    counted = opencost_hour(pricing, [each] * len(nodes), gib, 1, finds_gpus_itself=finds_gpus_itself)
    assert cost.usd_per_hour > 0
    assert Decimal(counted * 730).quantize(CENT) == (cost.usd_per_hour * HOURS_PER_MONTH).quantize(CENT)


def test_old_releases_of_opencost_price_no_gpu_of_a_node_without_the_label() -> None:
    pricing = custom_pricing(H100, "premium", gpus=8, gib=0)
    old = opencost_hour(pricing, [(128, 1024, 8)], 0, 0, labels={}, finds_gpus_itself=False)
    assert old == 0
    assert opencost_hour(pricing, [(128, 1024, 8)], 0, 0, finds_gpus_itself=False) > 10


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
