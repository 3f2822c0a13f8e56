"""A rented tier: its bill is the rent, in the plan and in Pulumi's; a stack's currency is in every figure it shows."""

import datetime
import json
from collections.abc import Iterator
from typing import Any

import pytest
from bills import TODAY, bill
from cost_shapes import dec
from small_stack import NODES, codes, findings, small_plan

from tierup.catalog.prices import load_prices
from tierup.cost import Limits, PlanCost, StackCost, bill_of, bill_of_resources, price
from tierup.cost.rent import chosen
from tierup.cost.report.cost import StackReport
from tierup.cost.report.difference import DifferenceReport, components, details, head, verdict
from tierup.cost.types import Kind
from tierup.plan.inputs import node_inputs
from tierup.plan.model import DOLLARS, Plan, Rental
from tierup.resources.model import Change, Resource

PRICES = load_prices()
A100 = "standard-2x-a100-80g-pcie"
OWN = f"rent-{A100}"
EUR = {"code": "EUR", "perUsd": 0.86, "source": "our bank", "asOf": "2026-11-02"}


def rented(rent: dict[str, object] | None = None, **more: Any) -> Plan:
    """The small stack, rented; `count` and `standby` are those of its nodes."""
    nodes = NODES | {"tenure": "rented"} | ({"rent": rent} if rent is not None else {})
    nodes |= {key: more.pop(key) for key in ("count", "standby") if key in more}
    return small_plan(nodes=nodes, **more)


def own_offer(value: float) -> dict[str, object]:
    return {"quotes": {OWN: {"value": value, "source": "offer 3", "asOf": "2026-11-02"}}}


def report(plan: Plan) -> StackReport:
    priced = StackCost.of(plan, PRICES, TODAY)
    return StackReport.of(priced, priced.outlook(), ())


def test_the_bill_of_a_rented_tier_is_its_rent() -> None:
    cost = price(bill_of(rented()), PRICES)
    (line,) = [line for line in cost.lines if line.component != "storage"]
    # Hyperstack's A100 PCIe in the catalogue: 1.35 USD an hour, two GPUs.
    assert (line.component, line.kind, line.usd_per_month) == ("rent", Kind.OPEX, dec("1.35") * 2 * 730)
    assert (line.quantity, line.unit, line.prices) == (dec(2), "machine", ("rent-a100-80g-pcie-hyperstack",))
    assert cost.purchase_usd == cost.capex.usd_per_hour == 0
    assert "electricity" not in cost.prices
    assert "life" not in cost.prices


def test_a_spare_that_is_off_is_not_rented_and_a_warm_one_is() -> None:
    month = {
        mode: price(bill_of(rented(standby={"mode": mode, "count": 1})), PRICES).usd_per_hour
        for mode in ("cold", "warm")
    }
    assert month == {"cold": dec("2.70"), "warm": dec("5.40")}


@pytest.mark.parametrize(
    ("asked", "server", "pays"),
    [
        # 4 single cards at 2.95 are cheaper than a whole machine of 8, and than Lambda's.
        (Rental(), "premium-4x-h100-80g-sxm", "rent-h100-80g-sxm-nebius"),
        (Rental(term_months=12), "premium-4x-h100-80g-sxm", "rent-h100-80g-sxm-year"),
        (Rental("LAMBDA"), "premium-4x-h100-80g-sxm", "rent-h100-80g-sxm-lambda"),
        (Rental("Lambda", "us-east"), "premium-4x-h100-80g-sxm", None),
        (Rental("Lambda", None, 12), "premium-4x-h100-80g-sxm", None),
        (Rental("Nobody"), "premium-4x-h100-80g-sxm", None),
    ],
)
def test_the_offer_is_the_cheapest_of_what_is_asked_for(asked: Rental, server: str, pays: str | None) -> None:
    wanted = bill(server=server, rental=asked)
    offer = chosen(wanted, PRICES)
    assert (None if offer is None else offer.price.id) == pays
    assert price(wanted, PRICES).unpriced == (() if pays else (f"rent-{server}",))


def test_whole_machines_are_rented() -> None:
    wanted = bill(server="premium-4x-h100-80g-sxm", in_service=3, rental=Rental())
    offer = chosen(wanted, PRICES)
    assert offer is not None
    assert price(wanted, PRICES).usd_per_hour == min(12 * dec("2.95"), 2 * dec("19.20"))


def test_an_offer_of_ones_own_comes_first_and_is_named_as_the_stack_file_says() -> None:
    plan = rented({"provider": "Acme", "region": "eu-1", "termMonths": 12}, cost=own_offer(2.5))
    shown = report(plan)
    assert [line.name for line in shown.lines if line.component == "rent"] == [
        "machines, Acme, eu-1, for 12 months"
    ]
    assert (shown.totals.usd_per_hour, shown.unpriced) == (dec("2.5"), ["storage"])
    assert {item.id: item.quoted for item in shown.prices}[OWN] is True


def test_owning_is_compared_with_an_offer_of_ones_own_too() -> None:
    offers = {item.id: item for item in report(small_plan(cost=own_offer(2.5))).rented}
    assert offers[OWN].usd_per_month == dec("1825.00")
    assert (offers[OWN].machines, offers[OWN].gpus) == (1, 2)


def test_a_rented_tier_shows_what_owning_would_cost_and_when_it_is_cheaper() -> None:
    owned, shown = report(small_plan()), report(rented())
    assert (shown.tenure, shown.rental is not None) == ("rented", True)
    assert (owned.tenure, owned.rental) == ("owned", None)
    for figure in ("usd_per_hour", "usd_per_month", "purchase_usd"):
        assert getattr(shown.owned, figure) == getattr(owned.totals, figure)
    assert shown.outlook.rented == owned.outlook.rented
    assert shown.server is None
    (node,) = shown.nodes
    assert (node.role, node.count, node.purchase_usd) == ("rented machine", 2, dec(0))
    years = shown.outlook.three_years
    assert years is not None
    assert (years.purchase_usd, years.total_usd) == (dec(0), (dec("2.70") * 730 * 36).quantize(dec("0.01")))
    assert [case.what for case in shown.outlook.sensitivity] == ["utilisation"] * 4
    # Tokens cost as much less as the hour does.
    mine, theirs = shown.outlook.tokens[0], owned.outlook.tokens[0]
    assert mine.usd_per_hour is not None
    assert theirs.usd_per_hour is not None
    assert mine.usd_per_hour.value == shown.totals.usd_per_hour
    assert mine.full_tokens_out_per_second == theirs.full_tokens_out_per_second


def test_a_monthly_budget_holds_for_a_rent_and_one_of_a_purchase_has_nothing_to_refuse() -> None:
    month = dec("1.35") * 2 * 730
    for limit, over in ((month, False), (month - dec("0.01"), True)):
        nodes, limits = NODES | {"tenure": "rented"}, {"monthlyUsd": str(limit), "capexUsd": 1}
        assert ("OVER_MONTHLY_BUDGET" in codes(nodes=nodes, budget=limits)) is over
        assert "OVER_BUDGET" not in codes(nodes=nodes, budget=limits)


def nodes_of(plan: Plan) -> Iterator[Resource]:
    """The node component as Pulumi's plan has it, after JSON."""
    inputs = json.loads(json.dumps(node_inputs(plan.nodes)))
    urn = "urn:pulumi:small::tierup::tierup:nodes:GpuNodes::small"
    yield Resource(
        urn=urn, type="tierup:nodes:GpuNodes", name="small", inputs=inputs, custom=False, parent=None
    )


@pytest.mark.parametrize(
    "rent", [None, {"provider": "RunPod"}, {"provider": "Acme", "region": "x", "termMonths": 6}]
)
def test_pulumis_plan_has_the_same_bill(rent: dict[str, object] | None) -> None:
    plan = rented(rent)
    assert bill_of_resources(nodes_of(plan)).rental == plan.nodes.rental
    assert bill_of_resources(nodes_of(plan)) == bill_of(plan, servers_only=True)
    assert bill_of_resources(nodes_of(small_plan())) == bill_of(small_plan(), servers_only=True)


@pytest.mark.parametrize("bad", ["text", {"provider": 3}, {"termMonths": "many"}])
def test_a_rental_that_cannot_be_read_is_not_priced(bad: object) -> None:
    (item,) = nodes_of(rented())
    broken = bill_of_resources([Resource(**{**vars_of(item), "inputs": {**item.inputs, "rental": bad}})])
    assert broken.unknown == ("tierup:nodes:GpuNodes small",)
    assert broken.server is None


def vars_of(item: Resource) -> dict[str, Any]:
    return {name: getattr(item, name) for name in Resource.__dataclass_fields__}


def test_rented_servers_that_become_owned_are_a_purchase() -> None:
    before, after = (bill_of(plan, servers_only=True) for plan in (rented(), small_plan()))
    assert price(after, PRICES).purchase_usd == 60_000
    assert price(before, PRICES).purchase_usd == 0


@pytest.mark.parametrize(
    ("nodes", "path"),
    [
        ({"rent": {"provider": "RunPod"}}, "nodes.rent"),
        ({"tenure": "owned", "rent": {}}, "nodes.rent"),
        ({"tenure": "rented", "purchased": "2026-10-02"}, "nodes.purchased"),
        ({"tenure": "rented", "rent": {"provider": "RunPod"}}, None),
        ({"purchased": "2026-10-02"}, None),
    ],
)
def test_what_belongs_to_the_other_tenure_is_refused(nodes: dict[str, object], path: str | None) -> None:
    found = [item.path for item in findings(nodes=NODES | nodes) if item.code.name == "TENURE"]
    assert found == ([] if path is None else [path])


# Currency


def test_people_are_shown_the_stacks_currency_and_programs_its_rate() -> None:
    dollars, shown = report(small_plan()), report(small_plan(cost={"currency": EUR}))
    assert shown.totals == dollars.totals  # USD, as their names say
    assert (shown.shown.code, shown.shown.per_usd, shown.shown.as_of) == (
        "EUR",
        dec("0.86"),
        datetime.date(2026, 11, 2),
    )
    assert shown.shown.per_month == (dollars.totals.usd_per_month * dec("0.86")).quantize(dec("0.01"))
    assert (dollars.shown.code, dollars.shown.per_month) == ("USD", dollars.totals.usd_per_month)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({}, None),
        ({"code": "euro"}, "BAD_FORMAT"),
        ({"code": "USD"}, "BAD_QUOTE"),
        ({"code": "USD", "perUsd": 1}, None),
        ({"perUsd": 0}, "OUT_OF_RANGE"),
        ({"source": ""}, "BAD_FORMAT"),
        ({"asOf": None}, "WRONG_TYPE"),
    ],
)
def test_a_rate_has_a_value_a_source_and_a_date(change: dict[str, object], code: str | None) -> None:
    found = codes(cost={"currency": EUR | change})
    assert (code in found) if code is not None else not found & {"BAD_FORMAT", "BAD_QUOTE", "OUT_OF_RANGE"}


def test_an_old_rate_is_reported_with_the_old_prices() -> None:
    old = StackCost.of(small_plan(cost={"currency": EUR | {"asOf": "2026-08-01"}}), PRICES, TODAY)
    new = StackCost.of(small_plan(cost={"currency": EUR}), PRICES, TODAY)
    assert "currency EUR 116 days" in str(next(old.stale_prices()))
    assert "currency" not in str(next(new.stale_prices()))


def test_a_budget_stays_in_usd_whatever_is_shown() -> None:
    limits = small_plan(cost={"currency": EUR}, budget={"monthlyUsd": 10**6})
    assert list(Limits(limits.budget).month(price(bill_of(limits), PRICES))) == []


def test_the_cost_of_a_change_is_shown_in_the_stacks_currency_and_reported_in_usd() -> None:
    (was, now) = (next(nodes_of(plan)) for plan in (rented(), small_plan()))
    planned = PlanCost.of((Change("update", was, now),), PRICES)
    euros = small_plan(cost={"currency": EUR}).currency
    shown, plain = (DifferenceReport.of("small", planned, TODAY, (), money) for money in (euros, DOLLARS))
    assert shown.total == plain.total
    assert (shown.shown.code, plain.shown.code) == ("EUR", "USD")
    text = "\n".join((verdict(shown), *head(shown), *map(str, (components(shown), *details(shown)[:1]))))
    assert "$" not in text
    change = shown.total.difference.usd_per_month * dec("0.86")
    assert f"-EUR {abs(change).quantize(dec('0.01')):,f} a month" in text
    assert "in EUR at 0.86 EUR per USD (our bank, 2026-11-02)" in text
    # Rent goes, a purchase comes.
    row = {item.component: item.difference.usd_per_month for item in shown.components}
    assert row["rent"] == -dec("1971.00")
    assert row["nodes"] == dec("1250.00")
