"""What a tier costs, owned: worked by hand to the cent, and laws that hold for every bill."""

import dataclasses
import datetime
import random
from decimal import ROUND_HALF_UP, Decimal

import pytest
from bills import PREMIUM, TODAY, bill, eight_gpus, line, quote, usd
from tier_plans import VARIANTS, plan_of

from tierup.catalog.price import HOURS_PER_MONTH
from tierup.catalog.prices import load_prices
from tierup.cost import bill_of, price
from tierup.cost.pricing import amortised, is_stale, powered
from tierup.cost.types import Bill, Kind, TierCost, Volume
from tierup.stack.sections import StandbyMode

PRICES = load_prices()
# A site and a server in round figures: $48,000 over 48 months, 1 kW under load, 300 W idle, PUE 1.5, 10 cents.
ROUND = {
    "standard-2x-a100-80g-pcie": "48000",
    "life": "48",
    "residual": "0",
    "load-watts-standard-2x-a100-80g-pcie": "1000",
    "idle-watts-standard-2x-a100-80g-pcie": "300",
    "pue": "1.5",
    "electricity": "0.10",
    "colocation": "146",
    "maintenance": "0.073",
    "labour": "73",
    "switch-ethernet": "2400",
    "storage": "0.073",
    "storage-fast": "0.73",
    "load-balancer": "18.25",
}
STANDARD = "standard-2x-a100-80g-pcie"


def cents(value: Decimal | None) -> Decimal:
    assert value is not None
    return value.quantize(Decimal("0.01"), ROUND_HALF_UP)


def test_a_node_of_eight_h100_worked_by_hand() -> None:
    """$310,000 over 48 months and 8.5 kW at PUE 1.54 and $0.0929: $8.85 + $1.22 an hour, $1.26 per GPU-hour."""
    assert cents(amortised(usd("310000"), usd("0"), usd("48"))) == usd("8.85")
    assert cents(powered(usd("8500"), usd("1.54"), usd("0.0929"))) == usd("1.22")
    quotes = {PREMIUM: "310000", f"load-watts-{PREMIUM}": "8500", "colocation": "0"}
    cost = price(bill(quotes=quotes), eight_gpus(), TODAY)
    assert cents(line(cost, "servers in service").usd_per_hour) == usd("8.85")
    assert cents(line(cost, "electricity").usd_per_hour) == usd("1.22")
    assert cents(cost.usd_per_hour / 8) == usd("1.26")


def test_every_line_worked_by_hand() -> None:
    volumes = (Volume("models", 100, "fast"), Volume("metrics", 20, None))
    tier_bill = bill(
        STANDARD, standby=1, standby_mode=StandbyMode.WARM, volumes=volumes, load_balancers=2, quotes=ROUND
    )
    cost = price(tier_bill, PRICES, TODAY)
    # USD a month, as one would write it on paper
    assert {
        item.name: cents(item.usd_per_hour * HOURS_PER_MONTH if item.usd_per_hour else None)
        for item in cost.lines
    } == {
        "servers in service": usd("1000.00"),  # 48,000 / 48
        "electricity": usd("109.50"),  # 1 kW x 1.5 x 0.10 x 730
        "colocation": usd("146.00"),  # 1 kW
        "maintenance": usd("292.00"),  # 48,000 x 7.3 % / 12
        "labour": usd("73.00"),
        "servers, idling": usd("1000.00"),
        "electricity, standby": usd("32.85"),  # 0.3 kW
        "colocation, standby": usd("146.00"),  # its place can feed it under load
        "maintenance, standby": usd("292.00"),
        "labour, standby": usd("73.00"),
        "switch (fibre switch)": usd("50.00"),  # 2,400 / 48
        "load balancers": usd("36.50"),  # 2 x 18.25
        "models": usd("73.00"),  # 100 x 0.73, the class's own price
        "metrics": usd("1.46"),  # 20 x 0.073
    }
    assert cents(cost.usd_per_month) == usd("3325.31")
    assert cost.purchase_usd == 48_000 * 2 + 2400
    assert cents(cost.hourly(Kind.CAPEX) * HOURS_PER_MONTH) == usd("2050.00")
    assert cents(cost.hourly(Kind.OPEX) * HOURS_PER_MONTH) == usd("1275.31")
    assert cost.unpriced == ()
    assert cost.stale == ()


def test_a_cold_spare_costs_its_purchase_only() -> None:
    alone, spare = (
        price(bill(STANDARD, standby=count, standby_mode=StandbyMode.COLD, quotes=ROUND), PRICES)
        for count in (0, 1)
    )
    more = [item for item in spare.lines if item.component == "standby"]
    assert [(item.name, item.kind) for item in more] == [("servers, powered off", Kind.CAPEX)]
    assert cents((spare.usd_per_hour - alone.usd_per_hour) * HOURS_PER_MONTH) == usd("1000.00")


@pytest.mark.parametrize("server", PRICES.servers)
def test_cold_is_less_than_warm_is_less_than_in_service(server: str) -> None:
    def with_one_more(mode: StandbyMode | None) -> TierCost:
        if mode is None:
            return price(bill(server, in_service=2), PRICES)
        return price(bill(server, standby=1, standby_mode=mode), PRICES)

    cold, warm, used = map(with_one_more, (StandbyMode.COLD, StandbyMode.WARM, None))
    assert cold.usd_per_hour < warm.usd_per_hour < used.usd_per_hour
    assert cold.purchase_usd == warm.purchase_usd == used.purchase_usd


def test_unpriced_items_are_listed_once_and_in_no_sum() -> None:
    tier_bill = bill("premium-4x-h100-80g-sxm", in_service=2, standby=1, standby_mode=StandbyMode.WARM)
    tier_bill = dataclasses.replace(
        tier_bill, volumes=(Volume("m", 59, "shared"), Volume("p", 20, None)), unknown=("aws:s3 b",)
    )
    cost = price(tier_bill, PRICES, TODAY)
    assert cost.unpriced == (
        "liquid-cooling",
        "maintenance",
        "labour",
        "switch-infiniband",
        "storage",
        "aws:s3 b",
    )
    silent = [item for item in cost.lines if item.usd_per_hour is None]
    assert len(silent) == 9
    assert all((item.low, item.high, item.purchase_usd) == (None, None, None) for item in silent)
    assert cost.usd_per_hour == sum(item.usd_per_hour for item in cost.lines if item.usd_per_hour is not None)


def test_a_server_outside_the_catalogue_is_not_priced() -> None:
    cost = price(bill("a-server-of-yours"), PRICES, TODAY)
    assert "a-server-of-yours" in cost.unpriced
    assert "load-watts-a-server-of-yours" in cost.unpriced
    assert line(cost, "servers in service").usd_per_hour is None
    assert price(Bill(None, 0, 0, StandbyMode.NONE), PRICES, TODAY).lines == ()


def test_a_quote_of_zero_is_a_price() -> None:
    cost = price(bill(quotes={"colocation": "0", "labour": "0"}), PRICES, TODAY)
    assert line(cost, "colocation").usd_per_hour == 0
    assert "labour" not in cost.unpriced
    assert cost.prices["labour"].quoted


def test_a_range_has_each_price_at_its_cheap_and_its_dear_end() -> None:
    cost = price(bill(STANDARD), PRICES, TODAY)
    server = line(cost, "servers in service")
    assert server.low == amortised(usd("50000"), usd("0"), usd("60"))  # a long life is cheap
    assert server.high == amortised(usd("70000"), usd("0"), usd("36"))
    assert line(cost, "electricity").high == powered(usd("897"), usd("1.54"), usd("0.146"))
    low, high = cost.range_per_hour
    assert low < cost.usd_per_hour < high
    quoted = price(bill(STANDARD, quotes=ROUND), PRICES, TODAY)
    assert quoted.range_per_hour == (quoted.usd_per_hour, quoted.usd_per_hour)


@pytest.mark.parametrize(("days", "old"), [(0, False), (90, False), (91, True)])
def test_a_price_is_stale_after_ninety_days(days: int, old: bool) -> None:
    item = quote("electricity", "0.1", TODAY - datetime.timedelta(days=days))
    assert is_stale(item, TODAY) is old
    tier_bill = dataclasses.replace(bill(), quotes={"electricity": item})
    assert ("electricity" in price(tier_bill, PRICES, TODAY).stale) is old
    assert price(tier_bill, PRICES).stale == ()


def test_a_price_without_a_value_has_no_age() -> None:
    assert not is_stale(PRICES.by_id["labour"], datetime.date(2036, 1, 1))
    stale = price(bill(), PRICES, datetime.date(2036, 1, 1)).stale
    assert "electricity" in stale
    assert "labour" not in stale


def random_bill(seed: int) -> Bill:
    """Some bill: any server, any mode, any volumes, some quotes."""
    pick = random.Random(seed)
    names = [name for name in PRICES.by_id if name not in PRICES.offers]
    quotes = {
        name: str(Decimal(pick.randint(1, 10**6)) / 10 ** pick.randint(0, 6))
        for name in pick.sample(names, pick.randint(0, len(names)))
    }
    quotes |= {"residual": str(Decimal(pick.randint(0, 100)) / 100), "life": str(pick.randint(1, 240))}
    volumes = tuple(
        Volume(f"v{index}", pick.randint(1, 10_000), pick.choice([None, "fast"]), pick.randint(1, 9))
        for index in range(pick.randint(0, 4))
    )
    return bill(
        pick.choice([*PRICES.servers]),
        in_service=pick.randint(1, 50),
        standby=pick.randint(0, 5),
        standby_mode=pick.choice([*StandbyMode]),
        volumes=volumes,
        load_balancers=pick.randint(0, 2),
        quotes=quotes,
    )


@pytest.mark.parametrize("seed", range(60))
def test_laws_that_hold_for_every_bill(seed: int) -> None:
    tier_bill = random_bill(seed)
    cost = price(tier_bill, PRICES, TODAY)
    figures = [
        figure
        for item in cost.lines
        for figure in (item.usd_per_hour, item.purchase_usd, item.low, item.high, item.quantity)
        if figure is not None
    ]
    assert all(type(figure) is Decimal and figure.is_finite() and figure >= 0 for figure in figures)
    near = Decimal("1e-15") * max(Decimal(1), cost.usd_per_hour)
    components = {item.component for item in cost.lines}
    assert abs(sum(cost.hourly(component=name) for name in components) - cost.usd_per_hour) <= near
    assert abs(sum(cost.hourly(kind) for kind in Kind) - cost.usd_per_hour) <= near
    low, high = cost.range_per_hour
    assert low - near <= cost.usd_per_hour <= high + near
    for item in cost.lines:
        missing = {name for name in item.prices if cost.prices[name].value is None}
        assert (item.usd_per_hour is None) == bool(missing)
        assert missing <= set(cost.unpriced)
    # Twice the servers is twice of what each server has its part of.
    double = price(dataclasses.replace(tier_bill, in_service=2 * tier_bill.in_service), PRICES, TODAY)
    for name in ("nodes", "power", "facility", "maintenance", "labour"):
        assert abs(double.hourly(component=name) - 2 * cost.hourly(component=name)) <= 2 * near


@pytest.mark.parametrize("case", VARIANTS, ids="-".join)
def test_every_variant_of_a_tier_has_a_price(case: tuple[str, str]) -> None:
    plan = plan_of(*case)
    tier_bill = bill_of(plan)
    cost = price(tier_bill, PRICES, TODAY)
    servers = len(plan.nodes.in_service) + len(plan.nodes.standby)
    assert cost.purchase_usd == servers * Decimal(str(plan.nodes.server.capex_usd.value))
    assert 0 < cost.range_per_hour[0] < cost.usd_per_hour < cost.range_per_hour[1]
