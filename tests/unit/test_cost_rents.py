"""Rents of several kinds beside owning, the dates of prices, and servers whose price does not fit their cards."""

import datetime
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from bills import TODAY, bill
from cost_shapes import dec
from small_stack import NODES, small_plan
from tier_plans import every_tier, plan_of

from tierup.catalog import CatalogError, load_catalog
from tierup.catalog.price import Price, dated
from tierup.catalog.prices import load_prices, parse_prices
from tierup.cost import StackCost
from tierup.cost.budget import implausible
from tierup.cost.parts import ServerParts
from tierup.cost.rent import chosen, rented
from tierup.cost.report.cost import StackReport, every_table
from tierup.findings.model import Finding
from tierup.plan.model import Plan, Rental

PRICES = load_prices()


def stack(plan: Plan) -> StackCost:
    return StackCost.of(plan, PRICES, TODAY)


def report(plan: Plan) -> StackReport:
    priced = stack(plan)
    return StackReport.of(priced, priced.outlook(), ())


# Rents


@every_tier
def test_every_tier_is_compared_with_several_providers_and_a_spot_price(plan: Plan) -> None:
    rents = report(plan).rented
    assert len({item.provider for item in rents}) > 1
    assert {"spot", "on demand"} <= {item.terms for item in rents}
    assert all(item.spot == (item.terms == "spot") for item in rents)


def test_a_reserved_price_stands_beside_the_others_with_its_term() -> None:
    (year,) = [item for item in report(plan_of("premium")).rented if item.term_months is not None]
    assert (year.term_months, year.terms, year.usd_per_gpu_hour) == (dec(12), "12 months", dec("2.35"))


@pytest.mark.parametrize("server", sorted(load_catalog().servers))
def test_no_bill_rests_on_a_machine_that_can_be_taken_back(server: str) -> None:
    wanted = bill(server=server, rental=Rental())
    cheapest, pays = rented(wanted, PRICES)[0], chosen(wanted, PRICES)
    assert cheapest.offer.spot
    assert pays is not None
    assert not pays.offer.spot


def test_a_spot_price_with_a_term_is_refused() -> None:
    text = """
sources:
  us: {title: "Our own list of prices", as_of: 2026-11-25}
prices:
  rent-x:
    {what: "1 GPU", value: 1, unit: USD/hour, source: us,
     rent: {gpu: rtx-4090, gpus: 1, provider: Us, term_months: 12, spot: true}}
"""
    with pytest.raises(CatalogError, match="a spot price has no term"):
        parse_prices(text)


@every_tier
def test_a_million_tokens_at_a_rent_cost_what_they_do_in_a_tier_that_pays_it(plan: Plan) -> None:
    owned = report(plan)
    (mine,) = owned.outlook.tokens
    assert mine.allocation_based is not None
    for rent in owned.outlook.rented:
        (entry,) = rent.tokens
        hour = next(item.usd_per_hour for item in owned.rented if item.id == rent.id)
        assert entry.allocation_based is not None
        assert hour is not None
        ratio = hour / owned.totals.usd_per_hour
        for kind in ("tokens_in", "tokens_out"):
            here, there = getattr(mine.allocation_based, kind), getattr(entry.allocation_based, kind)
            assert there.value == pytest.approx(here.value * ratio, abs=dec("0.0002"))
            assert there.low <= there.value <= there.high


def test_a_tier_that_pays_the_rent_shows_the_same_cost_of_tokens() -> None:
    owned = report(small_plan())
    shown = report(small_plan(nodes=NODES | {"tenure": "rented"}))
    (paid,) = [line.prices[0] for line in shown.lines if line.component == "rent"]
    (theirs,) = [item.tokens[0].allocation_based for item in owned.outlook.rented if item.id == paid]
    assert shown.outlook.tokens[0].allocation_based == theirs


# Dates


def test_a_day_of_a_look_up_is_not_called_the_date_of_a_price() -> None:
    day, later = datetime.date(2026, 3, 31), datetime.date(2026, 11, 28)
    undated = Price("a", dec(1), "USD", "a table", later, "low", looked_up=later)
    both = replace(undated, as_of=day)
    assert (undated.own_date, both.own_date) == (None, day)
    assert dated(undated.own_date, undated.looked_up) == "no date of its own, looked up 2026-11-28"
    assert dated(both.own_date, both.looked_up) == "2026-03-31, looked up 2026-11-28"
    assert dated(day, None) == "2026-03-31"


def test_both_dates_are_in_the_tables_and_for_programs() -> None:
    shown = report(plan_of("premium"))
    year, nebius = (
        next(item for item in shown.rented if item.id == name)
        for name in ("rent-h100-80g-sxm-year", "rent-h100-80g-sxm-nebius")
    )
    assert (year.own_date, year.looked_up) == (datetime.date(2026, 3, 31), datetime.date(2026, 11, 28))
    assert (nebius.own_date, nebius.looked_up) == (None, datetime.date(2026, 11, 28))
    cells = {cell for table in every_table(shown) for row in table.rows for cell in row}
    assert "2026-03-31, looked up 2026-11-28" in cells
    assert "no date of its own, looked up 2026-11-28" in cells


# The part of a server's price that is not cards


def doubts(server: str, card: str, cards: int = 2) -> list[Finding]:
    """What is reported of a server and its cards at these prices, USD."""
    whole, one = (
        Price(name, Decimal(usd), "USD", "a quote", TODAY, "high", quoted=True)
        for name, usd in (("server", server), ("card", card))
    )
    return list(implausible(ServerParts(cards, one, whole)))


@pytest.mark.parametrize(
    ("server", "card", "reported"),
    [
        ("310000", "27500", None),  # eight H100: 29 % is not cards
        ("20000", "5000", None),  # a half
        ("20001", "5000", "leaves 10,001 USD, 50% of it, beside its 2 cards at 5,000 USD"),
        ("10000", "5000", "leaves nothing for the server beside its 2 cards at 5,000 USD"),
        ("9000", "5000", "leaves nothing for the server beside its 2 cards at 5,000 USD"),
    ],
)
def test_the_rest_of_a_server_costs_something_and_no_more_than_the_cards(
    server: str, card: str, reported: str | None
) -> None:
    found = doubts(server, card, cards=8 if server == "310000" else 2)
    assert [item.code.name for item in found] == ([] if reported is None else ["SERVER_PRICE"])
    assert reported is None or reported in str(found[0])


def quoted(**prices: int) -> Any:
    quotes = {
        name: {"value": usd, "source": "our dealer", "asOf": "2026-11-02"} for name, usd in prices.items()
    }
    return small_plan(cost={"quotes": quotes})


def test_a_quote_that_fits_ends_the_doubt_about_the_guide_s_price() -> None:
    assert [item.code.name for item in stack(small_plan()).doubtful_prices()] == ["SERVER_PRICE"]
    assert not list(stack(quoted(**{"standard-2x-a100-80g-pcie": 36_000})).doubtful_prices())
    assert not list(stack(quoted(**{"card-a100-80g-pcie": 16_000})).doubtful_prices())


def test_a_rented_server_has_no_price_to_doubt() -> None:
    assert not list(stack(small_plan(nodes=NODES | {"tenure": "rented"})).doubtful_prices())
