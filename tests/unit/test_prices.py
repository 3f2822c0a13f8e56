"""The price catalogue: every price has a unit, a source and a date, none is a guess, none a binary fraction."""

import datetime
import re
from decimal import Decimal
from pathlib import Path

import pytest

from tierup.catalog import CatalogError, load_catalog
from tierup.catalog.prices import LIMITS, load_prices, parse_prices
from tierup.io.stack.read import latest_day

PRICES = load_prices()
CATALOG = load_catalog()
EVERY = sorted(PRICES.by_id)
TEXT = (Path(__file__).parents[2] / "tierup/catalog/prices.yaml").read_text(encoding="utf-8")


def test_every_price_is_exact_dated_and_sourced() -> None:
    for name, item in PRICES.by_id.items():
        for figure in (item.value, item.low, item.high):
            assert figure is None or (type(figure) is Decimal and figure.is_finite()), name
        assert item.id == name
        assert len(item.source) > 10, name
        assert datetime.date(2022, 1, 1) < item.as_of <= datetime.date(2026, 11, 28), name
        assert PRICES.what[name], name


def test_prices_keep_the_digits_of_the_file() -> None:
    assert str(PRICES.by_id["electricity"].value) == "0.0929"
    assert str(PRICES.by_id["rent-8x-h200-141g-aws"].value) == "63.296"
    assert str(PRICES.by_id["entry-2x-rtx-4090"].value) == "15000"


def test_a_price_without_a_source_is_null_and_says_why() -> None:
    null = {name for name in EVERY if PRICES.by_id[name].value is None}
    assert null == {name for name in EVERY if PRICES.by_id[name].source == "No source found: quote your own"}
    assert {"labour", "maintenance", "storage", "switch-ethernet", "switch-infiniband"} <= null
    low = {name for name in EVERY if PRICES.by_id[name].source.startswith("Our assumption")}
    assert {PRICES.by_id[name].confidence for name in low} == {"low"}


def test_a_price_on_which_sources_disagree_is_not_shipped() -> None:
    assert not [name for name in EVERY if re.search("h100.*(aws|p5)", name)]


@pytest.mark.parametrize("name", CATALOG.servers)
def test_every_server_has_its_price_and_its_power(name: str) -> None:
    server, gpu = CATALOG.servers[name], CATALOG.gpus[CATALOG.servers[name].gpu]
    bought = PRICES.by_id[name]
    assert (bought.value, bought.unit) == (Decimal(str(server.capex_usd.value)), "USD")
    load, idle = (PRICES.by_id[f"{state}-watts-{name}"] for state in ("load", "idle"))
    for item in (load, idle):
        assert item.low is not None
        assert item.unit == "W"
    assert load.value is not None
    assert idle.value is not None
    assert idle.value < load.value
    # Not less than its cards draw, and not three times as much.
    assert server.gpus.value * gpu.tdp_w.value < load.value < 3 * server.gpus.value * gpu.tdp_w.value


@pytest.mark.parametrize("name", sorted(PRICES.offers))
def test_an_offer_is_of_a_known_gpu_and_in_the_range_of_the_market(name: str) -> None:
    offer, item = PRICES.offers[name], PRICES.by_id[name]
    assert offer.gpu in CATALOG.gpus
    assert item.unit == "USD/hour"
    assert item.value is not None
    assert Decimal("0.1") < item.value / offer.gpus < 15


def test_only_offers_are_priced_by_the_hour() -> None:
    assert {name for name in EVERY if PRICES.by_id[name].unit == "USD/hour"} == set(PRICES.offers)


def test_the_guide_s_ranges_are_its_cards_and_the_rest() -> None:
    """$10-20k, $50-70k, $200-300k: the catalogue's servers, and that their cards leave room for a server."""
    guide = {
        "entry-2x-rtx-4090": (10_000, 20_000, 2),
        "standard-2x-a100-80g-pcie": (50_000, 70_000, 2),
        "premium-4x-h100-80g-sxm": (200_000, 300_000, 4),
    }
    for name, (low, high, cards) in guide.items():
        server, card = PRICES.by_id[name], PRICES.by_id[f"card-{CATALOG.servers[name].gpu}"]
        assert (server.low, server.high) == (Decimal(low), Decimal(high))
        assert CATALOG.servers[name].gpus.value == cards
        assert card.low is not None
        assert card.high is not None
        assert server.value is not None
        assert card.value is not None
        rest = [low - cards * card.low, server.value - cards * card.value, high - cards * card.high]
        assert all(0 < item < high for item in rest), (name, rest)


def test_limits_belong_to_known_prices_which_are_within_them() -> None:
    for name, (low, high) in LIMITS.items():
        value = PRICES.by_id[name].value
        assert value is None or low <= value <= high


def changed(old: str, new: str) -> str:
    assert TEXT.count(old) == 1, old
    return TEXT.replace(old, new)


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("value: 1.54,", "value: -1,", "pue.value: Input should be greater than or equal to 0"),
        ("value: 1.54,", "value: .inf,", "pue.value: "),
        ("value: 1.54,", "value: '1.54',", "pue.value: "),
        ("unit: ratio, source: uptime-2025", "unit: percent, source: uptime-2025", "pue.unit: "),
        ("source: uptime-2025", "source: hearsay", "pue.source: unknown source (got hearsay"),
        (", source: uptime-2025", "", "pue.source: the source is missing"),
        ("value: 1.54,", "value: 1.54, low: 1.6, high: 1.7,", "value 1.54 is outside low 1.6 .. high 1.7"),
        ("value: 1.54,", "value: 1.54, low: 1.5,", "low and high go together"),
        ("value: 1.54,", "value: null, low: 1.5, high: 1.6,", "low and high go together, on a value"),
        ("gpus: 8, provider: AWS", "gpus: 8.5, provider: AWS", "rent-8x-h200-141g-aws.rent.gpus: "),
        ("as_of: 2026-01-19", "as_of: 2026-02-30", "sources.uptime-2025.as_of: "),
        ("  pue:\n", "  electricity:\n", "electricity"),
    ],
)
def test_a_mistake_in_the_file_is_reported_with_its_path(old: str, new: str, problem: str) -> None:
    with pytest.raises(CatalogError, match=re.escape(problem)):
        parse_prices(changed(old, new))


def test_no_date_of_the_catalogue_lies_in_the_future() -> None:
    """Every YAML of the catalogue, wherever a date stands in it."""
    files = sorted((Path(__file__).parents[2] / "tierup/catalog").rglob("*.yaml"))
    dated = [
        (file.name, datetime.date.fromisoformat(day))
        for file in files
        for day in re.findall(r"\b20\d\d-\d\d-\d\d\b", file.read_text(encoding="utf-8"))
    ]
    assert len({name for name, _ in dated}) >= 3
    assert [item for item in dated if item[1] > latest_day()] == []
