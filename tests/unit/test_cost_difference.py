"""The cost of a change: now - past in every figure, parts that add up, and no unpriced item at zero."""

import dataclasses
import random
from decimal import Decimal

import pytest
from bills import bill, usd
from golden_plans import GOLDEN

from tierup.catalog.prices import load_prices
from tierup.cost import PlanCost, price
from tierup.cost.difference import Difference, Row, difference
from tierup.cost.types import Amount, Bill, Kind, Line, TierCost, Volume
from tierup.io.pulumi.plan import read_plan
from tierup.resources.model import Change, Resource
from tierup.stack.sections import StandbyMode

NOTHING = Bill(None, 0, 0, StandbyMode.NONE)
# Sums of 28 digits in another order may differ in the last of them.
EXACT = Decimal("1e-18")
EVERYTHING = {
    "electricity": "0.10",
    "pue": "1.5",
    "colocation": "100",
    "maintenance": "0.05",
    "labour": "50",
    "switch-infiniband": "20000",
    "liquid-cooling": "8000",
    "storage": "0.08",
    "load-balancer": "20",
}


def between(past: Bill, now: Bill) -> Difference:
    return difference(price(past, load_prices()), price(now, load_prices()))


def of(changes: Difference, component: str) -> Row:
    (row,) = [row for row in changes.components if row.component == component]
    return row


def test_one_server_more_worked_by_hand() -> None:
    """A $15,000 server over 48 months, 1230 W x 1.5 x $0.10 over 730 h, $100 a kW-month, no maintenance, no labour."""
    quotes = {"colocation": "100", "maintenance": "0", "labour": "0", "electricity": "0.10", "pue": "1.5"}
    past = bill("entry-2x-rtx-4090", quotes=quotes)
    changes = between(past, dataclasses.replace(past, in_service=2))
    each = {"nodes": "312.50", "power": "134.685", "facility": "123.00", "maintenance": "0", "labour": "0"}
    for component, monthly in each.items():
        assert abs(of(changes, component).usd_per_month - usd(monthly)) < EXACT, component
    assert abs(changes.total.usd_per_month - usd("570.185")) < EXACT
    assert abs(changes.total.usd_per_hour - usd("570.185") / 730) < EXACT
    assert changes.total.past.purchase_usd == changes.total.purchase_usd == 15000
    assert changes.total.changed
    assert changes.total.complete


def test_equal_resources_have_no_difference() -> None:
    changes = between(
        bill(standby=1, standby_mode=StandbyMode.COLD), bill(standby=1, standby_mode=StandbyMode.COLD)
    )
    for row in (changes.total, *changes.components, *changes.lines):
        assert {row.usd_per_hour, row.usd_per_month, row.purchase_usd} == {Decimal(0)}
        assert not row.changed
        assert row.complete, "unpriced resources are the same on both sides"
    assert changes.total.past.unpriced_lines > 0


def test_deleted_resources_cost_nothing_afterwards_and_created_ones_nothing_before() -> None:
    there = bill(quotes=EVERYTHING, volumes=(Volume("data", 100, None),), load_balancers=1)
    gone, new = between(there, NOTHING), between(NOTHING, there)
    assert gone.total.now == new.total.past == Amount()
    assert gone.total.usd_per_hour == -new.total.usd_per_hour
    assert [row.component for row in gone.components] == [row.component for row in new.components]
    assert all(row.changed and row.complete for row in (*gone.lines, *new.lines))


def test_a_change_of_unpriced_resources_is_incomplete() -> None:
    past = bill(
        "entry-2x-rtx-4090", quotes={name: value for name, value in EVERYTHING.items() if name != "labour"}
    )
    changes = between(past, dataclasses.replace(past, in_service=2))
    labour = of(changes, "labour")
    assert (labour.past.unpriced_lines, labour.now.unpriced_lines) == (1, 1)
    assert labour.usd_per_month == 0
    assert labour.changed
    assert not labour.complete
    assert not changes.total.complete
    assert of(changes, "power").complete


def test_a_price_that_is_quoted_anew_is_a_change_without_a_resource() -> None:
    changes = between(bill(quotes=EVERYTHING), bill(quotes={**EVERYTHING, "electricity": "0.20"}))
    assert [row.component for row in changes.components if row.changed] == ["power"]
    power = of(changes, "power")
    assert power.now.usd_per_hour == 2 * power.past.usd_per_hour


def random_bill(chance: random.Random) -> Bill:
    known = [name for name in EVERYTHING if chance.random() < 0.7]
    classes = (None, "fast", "slow")
    volumes = [
        Volume(f"v{n}", chance.randint(1, 500), chance.choice(classes)) for n in range(chance.randint(0, 4))
    ]
    return bill(
        chance.choice(sorted(load_prices().servers)),
        in_service=chance.randint(0, 5),
        standby=chance.randint(0, 3),
        standby_mode=chance.choice((StandbyMode.COLD, StandbyMode.WARM)),
        volumes=tuple(volumes),
        load_balancers=chance.randint(0, 2),
        quotes={name: EVERYTHING[name] for name in known},
    )


def amounts(row: Row) -> tuple[Amount, Amount]:
    return row.past, row.now


@pytest.mark.parametrize("seed", range(60))
def test_differences_are_now_minus_past_and_parts_add_up(seed: int) -> None:
    chance = random.Random(seed)
    past, now = (price(random_bill(chance), load_prices()) for _ in range(2))
    changes = difference(past, now)
    for side, side_cost in enumerate((past, now)):
        for rows in (changes.components, changes.lines):
            assert abs(sum(amounts(row)[side].usd_per_hour for row in rows) - side_cost.usd_per_hour) < EXACT
            assert abs(sum(amounts(row)[side].purchase_usd for row in rows) - side_cost.purchase_usd) < EXACT
            assert sum(amounts(row)[side].unpriced_lines for row in rows) == sum(
                line.usd_per_hour is None for line in side_cost.lines
            )
    assert abs(sum(row.usd_per_month for row in changes.components) - changes.total.usd_per_month) < EXACT
    assert abs(changes.total.usd_per_month - (now.usd_per_month - past.usd_per_month)) < EXACT
    for row in (changes.total, *changes.components, *changes.lines):
        figures = (row.usd_per_hour, row.usd_per_month, row.purchase_usd, row.past.usd_per_hour)
        assert all(type(figure) is Decimal and figure.is_finite() for figure in figures)
        assert row.usd_per_hour == row.now.usd_per_hour - row.past.usd_per_hour


def test_two_lines_of_one_name_are_one_row() -> None:
    def cost(*hourly: str) -> TierCost:
        lines = [
            Line("storage", "data", Kind.OPEX, Decimal(1), usd(each), None, None, None, ()) for each in hourly
        ]
        return TierCost(tuple(lines), {}, ())

    changes = difference(cost("1", "2"), cost("5"))
    assert len(changes.lines) == 1
    assert changes.total.usd_per_hour == 2


def planned_of(name: str) -> PlanCost:
    return PlanCost.of(read_plan(str(GOLDEN / f"{name}.json")), load_prices())


def test_the_engines_plans_have_the_expected_differences() -> None:
    assert not planned_of("no_op").cost.total.changed
    assert not planned_of("secrets").cost.total.changed, "a secret costs nothing"
    assert not planned_of("state").cost.total.changed
    assert planned_of("create").cost.total.past == Amount()
    scaled = planned_of("scale").cost
    assert abs(scaled.total.now.usd_per_hour - 2 * scaled.total.past.usd_per_hour) < EXACT
    deleted = planned_of("delete")
    assert deleted.cost.total.now.usd_per_hour == 0
    assert [volume.name for volume in deleted.now.volumes] == ["prometheus-data"]
    tier = planned_of("tier")
    assert (tier.past.server, tier.now.server) == ("entry-2x-rtx-4090", "standard-2x-a100-80g-pcie")
    assert of(tier.cost, "standby").purchase_usd == 60000


def test_an_unpriced_resource_is_reported_only_if_it_changes() -> None:
    def database(size: str) -> Resource:
        return Resource("urn:pulumi:s::p::acme:db:Db::orders", "acme:db:Db", "orders", None, {"size": size})

    def unknown(past: Resource | None, now: Resource | None) -> frozenset[str]:
        return PlanCost.of((Change("any", past, now),), load_prices()).unknown

    small, large = database("small"), database("large")
    assert unknown(small, small) == frozenset()
    for sides in ((small, large), (None, small), (small, None)):
        assert unknown(*sides) == {"acme:db:Db orders"}
