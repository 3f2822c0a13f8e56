"""Three years of owning, and when owning beats renting: by hand to the cent, and by laws over costs of any shape."""

from collections.abc import Iterator
from decimal import Decimal
from random import Random

import pytest
from cost_shapes import H100, any_costs, bought, cost_of, dec, paid
from tier_plans import plan_of

from tierup.catalog.price import HOURS_PER_MONTH
from tierup.catalog.prices import load_prices
from tierup.cost import bill_of
from tierup.cost.analysis.break_even import months_until_owned
from tierup.cost.analysis.outlook import outlook
from tierup.cost.analysis.tco import Bought, purchases, running, total_cost

CENT = dec("0.01")


def cents(value: Decimal | None) -> Decimal | None:
    return None if value is None else value.quantize(CENT)


# Three years


def test_a_node_that_outlives_the_three_years_is_worth_something_at_their_end() -> None:
    total = total_cost(H100, life=dec(48))
    assert total.purchase_usd == 310_000
    assert total.replacement_usd == 0
    assert cents(total.opex_usd) == dec("31958.08")  # 1.216061 USD x 26,280 hours
    assert cents(total.residual_usd) == dec("77500.00")  # 12 of 48 months are left
    assert cents(total.total_usd) == dec("264458.08")


def test_a_node_that_wears_out_before_is_bought_again() -> None:
    per_hour = str(dec(310_000) / (24 * 730))
    total = total_cost(cost_of(bought("310000", per_hour), paid("1.216061")), life=dec(24))
    assert (total.purchase_usd, cents(total.replacement_usd)) == (dec(310_000), dec("310000.00"))
    assert cents(total.residual_usd) == dec("155000.00")  # the second one, half way
    assert cents(total.total_usd) == dec("496958.08")


def test_the_old_one_pays_a_part_of_the_new_one() -> None:
    # 1,200 USD, half of it left after 12 months: 50 USD a month.
    total = total_cost(cost_of(bought("1200", str(dec(50) / 730))), life=dec(12))
    assert cents(total.replacement_usd) == dec("1200.00")  # twice 1,200 less 600
    assert cents(total.residual_usd) == dec("600.00")
    assert cents(total.total_usd) == dec("1800.00")


def test_it_is_not_bought_again_on_the_last_day() -> None:
    total = total_cost(cost_of(bought("3600", str(dec(100) / 730))), life=dec(36))
    assert (total.replacement_usd, cents(total.residual_usd)) == (dec(0), dec("0.00"))


def test_three_years_cost_what_their_hours_cost_whatever_the_life() -> None:
    random = Random(7)
    for cost in any_costs(seed=7):
        total = total_cost(cost, life=dec(random.randint(3, 90)))
        assert abs(total.total_usd - cost.usd_per_hour * HOURS_PER_MONTH * 36) < CENT
        assert total.unpriced == cost.unpriced


def test_unpriced_items_are_named_and_in_no_sum() -> None:
    total = total_cost(cost_of(bought("4000", None), paid("1"), unpriced=("life",)), life=dec(48))
    assert (total.purchase_usd, total.total_usd) == (dec(0), dec(26_280))
    assert total.unpriced == ("life",)


# Owning or renting


@pytest.mark.parametrize(
    ("usd_per_gpu_hour", "months"),
    [
        ("3.99", "13.83"),  # saves (31.92 - 1.216061) x 730 = 22,413.88 USD a month
        ("1.20", None),  # 310,000 / 6,120.28 is after 48 months: bought again, and then again
        ("0.15", None),  # the power alone is dearer
    ],
)
def test_the_h100_node_against_renting_eight_gpus(usd_per_gpu_hour: str, months: str | None) -> None:
    rent = dec(usd_per_gpu_hour) * 8
    until = months_until_owned(purchases(H100, dec(48)), running(H100), rent)
    assert cents(until) == (None if months is None else dec(months))


def test_owning_may_break_even_only_after_it_was_replaced() -> None:
    # 1,200 USD, 600 left after 12 months; renting costs 70 USD a month more than running. 1,200 / 70 = 17.14 months
    # is after the first replacement, 1,800 / 70 = 25.71 after the second, 2,400 / 70 = 34.29 before the third.
    item = Bought(dec(1200), dec(50), dec(12))
    assert cents(months_until_owned([item], dec(0), dec(70) / 730)) == dec("34.29")


def test_on_the_day_of_the_replacement_it_is_still_even_without() -> None:
    item = Bought(dec(1200), dec(100), dec(12))
    assert months_until_owned([item], dec(0), dec(100) / 730) == pytest.approx(dec(12))


@pytest.mark.parametrize(("running_usd", "months"), [("1", 0), ("2", 0), ("3", None)])
def test_with_nothing_to_buy_the_hours_decide(running_usd: str, months: int | None) -> None:
    assert months_until_owned([], dec(running_usd), dec(2)) == months


def spent(items: tuple[Bought, ...], months: Decimal) -> Decimal:
    """Paid until then for what is owned, replacements too: computed another way."""
    total = dec(0)
    for item in items:
        total += item.usd
        at = item.life
        while at < months:
            total += item.again
            at += item.life
    return total


def any_purchases(random: Random) -> Iterator[Bought]:
    for _ in range(random.randint(1, 4)):
        life = dec(random.randint(6, 60))
        usd = dec(random.randint(100, 9_000))
        yield Bought(usd, usd * random.randint(30, 100) / 100 / life, life)


def test_owning_has_cost_no_more_than_rent_at_the_break_even_and_more_before_it() -> None:
    random, broke_even = Random(13), 0
    for _ in range(300):
        items = tuple(any_purchases(random))
        saved = dec(random.randint(10, 900)) / 730
        months = months_until_owned(items, dec(1), 1 + saved)
        checked = [dec(month) for month in range(1, 121) if months is None or month < months]
        assert all(spent(items, month) > saved * 730 * month for month in checked)
        if months is not None:
            broke_even += 1
            assert abs(spent(items, months) - saved * 730 * months) < CENT
    assert 50 < broke_even < 290


def test_dearer_rent_never_makes_owning_wait_longer() -> None:
    random = Random(17)
    for _ in range(100):
        items = tuple(any_purchases(random))
        low, high = sorted((dec(random.randint(1, 900)) / 730, dec(random.randint(1, 900)) / 730))
        late, early = (months_until_owned(items, dec(0), rent) for rent in (low, high))
        assert late is None or (early is not None and early <= late)


def test_every_offer_of_the_tiers_gpu_is_compared_the_cheapest_first() -> None:
    plan, prices = plan_of("premium"), load_prices()
    future = outlook(plan, bill_of(plan), prices)
    gpu = plan.nodes.server.gpu
    assert {item.id for item in future.rented} == {
        name for name, offer in prices.offers.items() if offer.gpu == gpu
    }
    rents = [item.rent.usd_per_hour for item in future.rented]
    assert None not in rents
    assert rents == sorted(rent for rent in rents if rent is not None)
