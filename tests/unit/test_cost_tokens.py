"""What a million tokens cost: by hand, and by laws that hold for every tier at every utilisation."""

from collections.abc import Iterator
from dataclasses import fields, is_dataclass, replace
from decimal import Decimal
from random import Random

import pytest
from cost_shapes import cost_of, dec, paid
from small_stack import small_plan
from tier_plans import every_tier, every_variant, plan_of

from tierup.catalog.prices import load_prices
from tierup.cost import bill_of, price
from tierup.cost.analysis.api import AgainstApi, ApiPrice
from tierup.cost.analysis.outlook import Outlook, outlook
from tierup.cost.analysis.sensitivity import sensitivity
from tierup.cost.analysis.span import Span
from tierup.cost.analysis.tokens import TokenCost, token_costs
from tierup.cost.types import TierCost
from tierup.plan.capacity import sizing_input
from tierup.plan.model import Plan
from tierup.sizing.share import prefill_share

CENT = dec("0.01")


def exactly(value: str) -> Span:
    return Span(dec(value), dec(value), dec(value))


# 36 USD an hour; 1,000 tokens/s in and 500 out at full use; a fifth of the time goes into prompts.
BY_HAND = TokenCost(
    "demo", exactly("36"), exactly("1000"), exactly("500"), dec("0.5"), "stated", dec("0.2"), False, None, ()
)


def cost_of_plan(plan: Plan) -> TierCost:
    return price(bill_of(plan), load_prices())


def known(plan: Plan, cost: TierCost, utilisation: Decimal | None = None) -> list[TokenCost]:
    costs = [item for item in token_costs(plan, cost, utilisation).values() if item is not None]
    assert len(costs) == len(plan.models)
    return costs


# By hand


def test_at_full_use_a_million_tokens_cost_their_part_of_the_hour() -> None:
    # 3.6 million tokens in for 7.20 USD, 1.8 million out for 28.80 USD.
    full = BY_HAND.usage_based
    assert (full.tokens_in.value, full.tokens_out.value) == (dec("2.00"), dec("16.00"))


def test_at_half_the_use_what_is_paid_is_spread_over_half_the_tokens() -> None:
    half = BY_HAND.allocation_based
    assert (half.tokens_in.value, half.tokens_out.value) == (dec("4.00"), dec("32.00"))


def test_both_kinds_together_cost_the_whole_hour() -> None:
    assert BY_HAND.mixed(dec(1)).value.quantize(CENT) == dec("6.67")  # 36 USD for 5.4 million


def test_the_range_pairs_dear_hours_with_few_tokens() -> None:
    doubtful = replace(
        BY_HAND,
        usd_per_hour=Span(dec(36), dec(18), dec(72)),
        full_tokens_out_per_second=Span(dec(500), dec(400), dec(800)),
    )
    out = doubtful.usage_based.tokens_out
    # 14.40 USD for 2.88 million, 57.60 USD for 1.44 million.
    assert (out.low, out.value, out.high) == (dec(5), dec(16), dec(40))


@pytest.mark.parametrize(
    ("usd_in", "usd_out", "even"),
    [
        ("4", "32", "0.5"),  # at full use the API takes 14.40 + 57.60 = 72 USD an hour
        ("2", "16", "1"),  # the price of full use itself
        ("1.99", "16", None),  # even at full use the API is cheaper
        ("0", "0", None),
    ],
)
def test_owning_breaks_even_with_an_api_where_the_api_takes_as_much(
    usd_in: str, usd_out: str, even: str | None
) -> None:
    against = AgainstApi.of(BY_HAND, ApiPrice(dec(usd_in), dec(usd_out)))
    # A day at full use: 86.4 million tokens in and 43.2 million out, 864 USD.
    assert (against.full_tokens_per_day, against.usd_per_day) == (dec(129_600_000), dec(864))
    if even is None:
        assert (against.utilisation, against.tokens_per_day) == (None, None)
        assert against.api_usd_per_full_day < against.usd_per_day
        return
    assert against.utilisation is not None
    assert against.tokens_per_day is not None
    assert against.utilisation.quantize(dec("1e-9")) == dec(even)
    assert against.tokens_per_day.quantize(dec("1e-3")) == dec(even) * 129_600_000


@pytest.mark.parametrize(
    ("cached", "price", "asked"),
    [
        ("0.75", "1", "1533.6"),  # 86.4 for 21.6 million at 4, 64.8 at 1, 1382.4 for 43.2 at 32
        ("0.75", "4", "1728"),  # a cached token at the full price
        ("0.75", None, "1728"),  # without a price of its own
        ("0", "1", "1728"),  # nothing is cached
        ("1", "0", "1382.4"),  # only answers are paid
    ],
)
def test_an_api_takes_less_for_prompts_that_its_cache_has(cached: str, price: str | None, asked: str) -> None:
    api = ApiPrice(dec(4), dec(32), None if price is None else dec(price))
    against = AgainstApi.of(replace(BY_HAND, shared_prefix=dec(cached)), api)
    assert against.api_usd_per_full_day.quantize(CENT) == dec(asked).quantize(CENT)
    assert against.api_usd_per_day.quantize(CENT) == (dec(asked) / 2).quantize(CENT)  # at half of full use
    assert against.utilisation is not None
    assert abs(against.utilisation * dec(asked) - 864) < dec("1e-9")


# Laws


@every_variant
def test_tokens_pay_for_the_whole_tier_and_utilisation_is_usage_by_allocation(plan: Plan) -> None:
    cost = cost_of_plan(plan)
    models = known(plan, cost)
    assert sum((item.usd_per_hour.value for item in models), dec(0)) == pytest.approx(cost.usd_per_hour)
    for item in models:
        paid_back = (
            item.allocation_based.tokens_in.value * item.full_tokens_in_per_second.value
            + item.allocation_based.tokens_out.value * item.full_tokens_out_per_second.value
        ) * item.utilisation
        assert abs(paid_back * 3600 / 1_000_000 - item.usd_per_hour.value) < dec("1e-20")
        assert 0 < item.utilisation <= 1
        ratio = item.usage_based.tokens_out.value / item.allocation_based.tokens_out.value
        assert abs(ratio - item.utilisation) < dec("1e-20")


@every_tier
def test_the_more_is_served_the_less_a_token_costs(plan: Plan) -> None:
    cost, random = cost_of_plan(plan), Random(5)
    for _ in range(20):
        low, high = sorted((dec(random.randint(1, 1000)) / 1000, dec(random.randint(1, 1000)) / 1000))
        for less, more in zip(known(plan, cost, low), known(plan, cost, high), strict=True):
            assert less.utilisation_from == "stated"
            assert less.allocation_based.tokens_in.value >= more.allocation_based.tokens_in.value
            assert less.allocation_based.tokens_out.value >= more.allocation_based.tokens_out.value
            assert less.usage_based == more.usage_based


@every_tier
def test_ranges_hold_their_figure(plan: Plan) -> None:
    for item in known(plan, cost_of_plan(plan)):
        for span in (
            item.usd_per_hour,
            item.full_tokens_in_per_second,
            item.full_tokens_out_per_second,
            item.allocation_based.tokens_out,
        ):
            assert 0 < span.low <= span.value <= span.high


def test_throughput_and_utilisation_are_the_sizing_models() -> None:
    plan = plan_of("entry")
    capacity = plan.models[0].capacity
    assert capacity is not None
    assert capacity.full.output_tok_s is not None
    assert capacity.full.req_s is not None
    assert capacity.sizing.req_s is not None
    (item,) = known(plan, cost_of_plan(plan))
    assert float(item.full_tokens_out_per_second.value) == pytest.approx(
        capacity.full.output_tok_s.p50, rel=1e-3
    )
    used = capacity.sizing.req_s.p50 / capacity.full.req_s.p50
    assert float(item.utilisation) == pytest.approx(used, rel=1e-3)
    assert item.utilisation_from == "plan"


def test_prompts_pay_more_where_they_are_longer() -> None:
    plan = plan_of("standard")
    ask = sizing_input(plan, plan.models[0])
    shares = [prefill_share(replace(ask, prompt=prompt, context=None)) for prompt in (100, 600, 3000)]
    assert 0 < shares[0] < shares[1] < shares[2] < 1


def test_more_users_than_the_slots_hold_are_full_use_and_no_more() -> None:
    crowded = small_plan(workload={"users": 40, "thinkSeconds": 20})
    (model,) = crowded.models
    capacity = model.capacity
    assert capacity is not None
    over = replace(crowded, models=(replace(model, capacity=replace(capacity, sizing=capacity.full)),))
    (item,) = known(over, cost_of_plan(over))
    assert item.utilisation == 1
    assert item.allocation_based == item.usage_based


@pytest.mark.parametrize("stated", ["0", "-0.1", "1.01"])
def test_a_utilisation_that_cannot_be_is_an_error(stated: str) -> None:
    plan = plan_of("entry")
    with pytest.raises(ValueError, match="above 0 and at most 1"):
        token_costs(plan, cost_of_plan(plan), dec(stated))


# Unknown is no number


def test_without_a_capacity_figure_a_tokens_price_is_unknown() -> None:
    plan = plan_of("entry")
    blind = replace(plan, models=tuple(replace(model, capacity=None) for model in plan.models))
    assert set(token_costs(blind, cost_of_plan(plan)).values()) == {None}


def test_where_nothing_is_priced_a_tokens_price_is_unknown_and_not_zero() -> None:
    nothing = cost_of(paid(None), unpriced=("electricity",))
    assert set(token_costs(plan_of("entry"), nothing).values()) == {None}


def test_what_the_money_leaves_out_is_named() -> None:
    plan = plan_of("premium")
    (item,) = known(plan, cost_of_plan(plan))
    assert "labour" in item.unpriced


# Numbers of an outlook


def leaves(value: object) -> Iterator[object]:
    if is_dataclass(value) and not isinstance(value, type):
        for field in fields(value):
            yield from leaves(getattr(value, field.name))
    elif isinstance(value, dict):
        for item in value.values():
            yield from leaves(item)
    elif isinstance(value, (tuple, list)):
        for item in value:
            yield from leaves(item)
    else:
        yield value


def outlook_of(plan: Plan, api: ApiPrice | None = None) -> Outlook:
    return outlook(plan, bill_of(plan), load_prices(), api=api)


@every_variant
def test_money_is_decimal_everywhere_and_always_a_number(plan: Plan) -> None:
    values = list(leaves(outlook_of(plan, ApiPrice(dec("0.10"), dec("0.40")))))
    assert not [value for value in values if isinstance(value, float)]
    numbers = [value for value in values if isinstance(value, Decimal)]
    assert len(numbers) > 50
    assert all(number.is_finite() for number in numbers)


# What if


@every_tier
def test_dear_electricity_costs_more_and_a_long_life_less(plan: Plan) -> None:
    cases = outlook_of(plan).sensitivity
    for what, direction in (("electricity", 1), ("life", -1)):
        mine = [case for case in cases if case.what == what]
        assert len(mine) > 1
        assert [case.value for case in mine] == sorted(case.value for case in mine)
        hours = [case.usd_per_hour * direction for case in mine]
        assert hours == sorted(hours)
        assert hours[0] < hours[-1]


@every_tier
def test_the_case_of_the_price_itself_is_the_tiers_cost(plan: Plan) -> None:
    future = outlook_of(plan)
    for what in ("electricity", "life"):
        value = future.cost.prices[what].value
        (same,) = [case for case in future.sensitivity if (case.what, case.value) == (what, value)]
        assert same.usd_per_hour == future.cost.usd_per_hour


def test_any_electricity_price_moves_the_cost_in_its_direction() -> None:
    plan = plan_of("premium")
    bill, prices, random = bill_of(plan), load_prices(), Random(3)
    base = prices.by_id["electricity"]
    for _ in range(30):
        low, high = sorted((dec(random.randint(0, 900)) / 1000, dec(random.randint(0, 900)) / 1000))
        cheap, dear = (
            price(
                replace(bill, quotes={"electricity": replace(base, value=usd, low=None, high=None)}), prices
            )
            for usd in (low, high)
        )
        assert cheap.usd_per_hour <= dear.usd_per_hour


def test_a_quote_without_a_range_is_tried_at_half_and_double() -> None:
    plan = plan_of("entry")
    cost = cost_of(paid("1"), electricity="0.20")
    cases = sensitivity(plan, cost, lambda changed: cost)
    assert [case.value for case in cases if case.what == "electricity"] == [
        dec("0.1"),
        dec("0.2"),
        dec("0.4"),
    ]
    assert not [case for case in cases if case.what == "life"]
