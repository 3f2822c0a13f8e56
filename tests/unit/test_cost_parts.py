"""The bill of a plan, the division of its cost, and the cost of the same GPUs rented."""

import dataclasses
from decimal import Decimal

import pytest
from bills import PREMIUM, TODAY, bill, eight_gpus
from small_stack import MODEL, NODES, small_plan
from tier_plans import VARIANTS, plan_of

import tierup.cost
from tierup.catalog.prices import load_prices
from tierup.cost import bill_of, price
from tierup.cost.parts import IDLE, by_model, by_node, gpus_in_service, server_parts
from tierup.cost.rent import rented
from tierup.cost.types import Volume
from tierup.manifests import render
from tierup.stack.sections import StandbyMode

PRICES = load_prices()
FOUR = NODES | {"server": "standard-4x-a100-80g-pcie"}


# The bill


def test_the_standard_tier_has_its_servers_and_two_volumes() -> None:
    tier_bill = bill_of(plan_of("standard"))
    assert (tier_bill.server, tier_bill.in_service, tier_bill.standby) == ("standard-2x-a100-80g-pcie", 1, 2)
    assert tier_bill.standby_mode is StandbyMode.COLD
    shared, metrics = tier_bill.volumes
    assert (shared.gib, shared.storage_class) == (59, "shared")
    assert metrics == Volume("prometheus-data", 20, None)
    assert tier_bill.models == {"qwen2.5-7b": 2}
    assert (tier_bill.load_balancers, tier_bill.quotes, tier_bill.unknown) == (0, {}, ())


def test_the_servers_own_disks_are_in_the_servers_price() -> None:
    plan = plan_of("entry")
    claims = [item for item in render(plan) if item["kind"] == "PersistentVolumeClaim"]
    assert {item["metadata"]["name"] for item in claims} == {"models-node", "prometheus-data"}
    assert [volume.name for volume in bill_of(plan).volumes] == ["prometheus-data"]


def test_a_load_balancer_is_on_the_bill() -> None:
    gateway = {"serviceType": "LoadBalancer", "sourceRanges": ["10.0.0.0/8"]}
    assert bill_of(small_plan(gateway=gateway)).load_balancers == 1
    assert bill_of(small_plan()).load_balancers == 0


def test_quotes_are_on_the_bill_in_the_catalogue_s_unit() -> None:
    quote = {"value": "0.1100", "source": "contract 17", "asOf": "2026-11-02"}
    tier_bill = bill_of(
        small_plan(cost={"quotes": {"electricity": quote, "storage-fast": quote | {"value": 0.07}}})
    )
    power, disk = tier_bill.quotes["electricity"], tier_bill.quotes["storage-fast"]
    assert (str(power.value), power.unit, power.source) == ("0.1100", "USD/kWh", "contract 17")
    assert (str(disk.value), disk.unit) == ("0.07", "USD/GiB-month")
    assert power.as_of.isoformat() == "2026-11-02"
    assert all(item.quoted for item in tier_bill.quotes.values())


# Its parts


@pytest.mark.parametrize("case", VARIANTS, ids="-".join)
def test_the_models_parts_add_up_to_the_total(case: tuple[str, str]) -> None:
    plan = plan_of(*case)
    tier_bill = bill_of(plan)
    cost = price(tier_bill, PRICES, TODAY)
    parts = by_model(cost, tier_bill, PRICES)
    assert sum(part.usd_per_hour for part in parts) == cost.usd_per_hour
    assert sum(part.gpus for part in parts) == plan.nodes.gpus_in_service
    assert all(part.usd_per_hour > 0 for part in parts)


def test_gpus_that_no_replica_holds_are_named() -> None:
    models = [MODEL | {"replicas": 2}, MODEL | {"name": "long", "replicas": 1}]
    tier_bill = bill_of(small_plan(nodes=FOUR, models=models))
    cost = price(tier_bill, PRICES, TODAY)
    parts = {part.name: part for part in by_model(cost, tier_bill, PRICES)}
    assert {name: part.gpus for name, part in parts.items()} == {"qwen2.5-7b": 2, "long": 1, IDLE: 1}
    quarter = cost.usd_per_hour / 4
    assert parts["long"].usd_per_hour == quarter
    assert abs(parts[IDLE].usd_per_hour - quarter) < Decimal("1e-20")


def test_models_with_more_gpus_than_there_are_share_them() -> None:
    tier_bill = bill(models={"a": 4, "b": 4})
    cost = price(tier_bill, PRICES, TODAY)
    assert [part.gpus for part in by_model(cost, tier_bill, PRICES)] == [4, 4]
    assert by_model(cost, bill(in_service=0), PRICES) == ()


def test_a_node_is_its_part_of_the_lines_that_are_servers() -> None:
    tier_bill = bill(
        in_service=2, standby=3, standby_mode=StandbyMode.WARM, quotes={"switch-infiniband": "20000"}
    )
    cost = price(tier_bill, PRICES, TODAY)
    used, spare = by_node(cost, tier_bill)
    assert (used.role, used.count, spare.role, spare.count) == ("in service", 2, "warm standby", 3)
    switch = cost.hourly(component="network")
    assert switch > 0
    total = 2 * used.usd_per_hour + 3 * spare.usd_per_hour + switch
    assert abs(total - cost.usd_per_hour) < Decimal("1e-20")
    assert used.purchase_usd == spare.purchase_usd == 250_000


def test_a_server_is_its_cards_and_the_rest() -> None:
    server = server_parts(bill(quotes={PREMIUM: "310000"}), PRICES)
    assert server is not None
    assert (server.cards, server.rest_usd) == (4, Decimal(310_000 - 4 * 27_500))
    assert server_parts(bill("a-server-of-yours"), PRICES) is None
    without = dataclasses.replace(
        PRICES, by_id={name: item for name, item in PRICES.by_id.items() if not name.startswith("card-")}
    )
    unknown = server_parts(bill(), without)
    assert unknown is not None
    assert unknown.rest_usd is None


# Rented


def test_the_same_gpus_rented_worked_by_hand() -> None:
    """Two H100 servers of four: of Lambda eight single GPUs at $4.29, or one machine of eight at $31.92."""
    cheap, dear = (rent for rent in rented(bill(in_service=2), PRICES) if rent.offer.provider == "Lambda")
    assert (cheap.price.id, cheap.machines, cheap.gpus) == ("rent-8x-h100-80g-sxm-lambda", 1, 8)
    assert (cheap.usd_per_gpu_hour, cheap.usd_per_month) == (Decimal("3.99"), Decimal("23301.60"))
    assert (dear.machines, dear.usd_per_month) == (8, Decimal("4.29") * 8 * 730)


def test_a_machine_of_eight_is_paid_in_full_for_four_gpus() -> None:
    machine = next(rent for rent in rented(bill(), PRICES) if rent.offer.gpus == 8)
    assert (machine.machines, machine.gpus, machine.usd_per_hour) == (1, 8, Decimal("19.20"))


def test_spares_that_are_up_are_rented_and_cold_ones_are_not() -> None:
    gpus = {
        mode: rented(bill(standby=1, standby_mode=mode), PRICES)[0].machines
        for mode in (StandbyMode.COLD, StandbyMode.WARM)
    }
    assert gpus == {StandbyMode.COLD: 4, StandbyMode.WARM: 8}  # machines of one GPU are the cheapest
    assert rented(bill("a-server-of-yours"), PRICES) == ()


def test_a_quote_for_an_offer_counts_and_the_cheapest_is_first() -> None:
    first = rented(bill(quotes={"rent-8x-h100-80g-sxm-lambda": "4"}), PRICES)[0]
    assert (first.price.quoted, first.usd_per_hour) == (True, Decimal(4))


def test_gpus_in_service_come_from_the_catalogue() -> None:
    assert gpus_in_service(bill(in_service=3), PRICES) == 12
    assert gpus_in_service(bill(in_service=3), eight_gpus()) == 24
    assert gpus_in_service(bill("a-server-of-yours"), PRICES) == 0


def test_others_need_ten_names_of_the_package() -> None:
    """What they import beyond these is held by import-linter: [tool.importlinter] in pyproject.toml."""
    assert len(tierup.cost.__all__) == len(set(tierup.cost.__all__)) <= 10
    assert all(hasattr(tierup.cost, name) for name in tierup.cost.__all__)
