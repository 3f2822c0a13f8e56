"""The page of a cost report: it loads nothing, its charts have text alternatives, and a hostile name stays text."""

import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from decimal import Decimal

import pytest
from bills import TODAY
from cost_shapes import dec
from money import usd
from tier_plans import TIERS, plan_of

from tierup.catalog.price import HOURS_PER_MONTH
from tierup.cli.cost import priced_stack
from tierup.cost.analysis.outlook import Outlook
from tierup.cost.report.cost import StackReport
from tierup.plan.model import CurrencyPlan
from tierup.report.cost_html import render

CENT = dec("0.01")


def tier(name: str, api: str | None = "0.05/0.20") -> tuple[StackReport, Outlook]:
    priced = priced_stack(plan_of(name), TODAY, None, api)
    return priced.report, priced.outlook


@pytest.fixture(scope="module")
def page() -> str:
    return render([tier(name) for name in TIERS])


def pictures(page: str) -> list[ET.Element]:
    return [ET.fromstring(text) for text in re.findall(r"<svg id=.*?</svg>", page, re.DOTALL)]


def test_it_loads_nothing_and_runs_nothing(page: str) -> None:
    assert re.findall(r"(?:src|href|url(?!\(#)|@import|<script|<link|<iframe)", page) == []
    assert page.startswith("<!doctype html>")


def test_every_chart_has_a_title_and_a_description(page: str) -> None:
    bars, curves = pictures(page)
    for picture in (bars, curves):
        assert picture.get("role") == "img"
        named = {item.get("id"): item.text for item in picture if item.tag in ("title", "desc")}
        labels = [named[name] for name in str(picture.get("aria-labelledby")).split()]
        assert all(labels)
    for name in TIERS:
        assert name in str(bars[1].text)
        assert name in str(curves[1].text)


@pytest.mark.parametrize("name", TIERS)
def test_bars_are_as_long_as_their_figures_and_end_at_the_sum(page: str, name: str) -> None:
    report, outlook = tier(name)
    bars = pictures(page)[0]
    mine = [
        item for item in bars.iter("rect") if (item.get("class"), item.get("data-stack")) == ("bar", name)
    ]
    figures = {str(item.get("data-component")): dec(str(item.get("data-usd-per-month"))) for item in mine}
    priced = {item.component for item in report.components if item.usd_per_month}
    assert set(figures) == priced
    for component, amount in figures.items():
        exact = outlook.cost.hourly(component=component) * HOURS_PER_MONTH
        assert amount == exact.quantize(CENT, "ROUND_HALF_UP")
    widths = {Decimal(str(item.get("width"))) / figures[str(item.get("data-component"))] for item in mine}
    assert max(widths) - min(widths) < dec("0.001")


@pytest.mark.parametrize("name", TIERS)
def test_a_bar_says_what_the_table_says_and_shows_what_is_not_priced(page: str, name: str) -> None:
    report, _ = tier(name)
    bars = pictures(page)[0]
    (above,) = [item for item in bars.iter("text") if item.get("data-stack") == name]
    words = "".join(above.itertext())
    assert words == f"{name} {usd(report.totals.usd_per_month)} + {report.unpriced_count} not priced"
    assert f"<td>{usd(report.totals.usd_per_month)}</td>" in page
    assert f"<strong>{usd(report.totals.usd_per_month)} <small>a month</small></strong>" in page
    (end,) = [
        item
        for item in bars.iter("rect")
        if (item.get("class"), item.get("data-stack")) == ("unpriced", name)
    ]
    assert end[0].text == f"not priced: {', '.join(report.unpriced)}"
    mine = [
        item for item in bars.iter("rect") if (item.get("class"), item.get("data-stack")) == ("bar", name)
    ]
    last = max(float(str(item.get("x"))) + float(str(item.get("width"))) for item in mine)
    assert float(str(end.get("x"))) == pytest.approx(last, abs=0.02)
    for item in mine:
        amount = usd(dec(str(item.get("data-usd-per-month"))))
        assert item[0].text == f"{item.get('data-component')}: {amount} a month"


def test_every_dashed_line_and_mark_is_in_the_legend(page: str) -> None:
    legend = re.findall(r"<li[^>]*>.*?</i>(.*?)</li>", page)
    for name in TIERS:
        assert any(text.startswith(f"{name} on the cheapest rent: $") for text in legend)
        assert any(text.startswith(f"{name}&#39;s tokens from the API: $") for text in legend)
    for mark in ("dot: ", "band: ", "not priced: "):
        assert any(text.startswith(mark) for text in legend)


def test_the_same_component_has_the_same_colour_in_every_bar(page: str) -> None:
    hues = {
        (item.get("data-component"), item.get("fill"))
        for item in pictures(page)[0].iter("rect")
        if item.get("class") == "bar"
    }
    assert len({component for component, _ in hues}) == len({hue for _, hue in hues}) == len(hues)


def test_curves_fall_and_the_dot_is_at_the_tiers_utilisation(page: str) -> None:
    curves = pictures(page)[1]
    for name in TIERS:
        _, outlook = tier(name)
        for model, cost in outlook.tokens.items():
            assert cost is not None
            own = f"{name}, {model}"
            (line,) = [
                item
                for item in curves.iter("path")
                if (item.get("class"), item.get("data-name")) == ("curve", own)
            ]
            heights = [float(y) for y in re.findall(r"[ML][\d.]+ ([\d.]+)", str(line.get("d")))]
            assert heights == sorted(heights)
            (dot,) = [item for item in curves.iter("circle") if item.get("data-name") == own]
            here = cost.mixed(cost.utilisation).value
            assert dec(str(dot.get("data-usd-per-million"))) == here.quantize(dec("0.0001"), "ROUND_HALF_UP")


def test_the_break_even_line_is_drawn_only_if_owning_breaks_even(page: str) -> None:
    shown = {item.get("data-name") for item in pictures(page)[1].iter("path") if item.get("class") == "even"}
    expected = {
        f"{name}, {model}"
        for name in TIERS
        for model, against in tier(name)[1].against_api.items()
        if against.utilisation is not None
    }
    assert shown == expected
    assert expected  # at this price some tier does, and some does not
    assert len(expected) < len(TIERS)


def test_without_an_api_price_there_is_no_line_for_it() -> None:
    curves = pictures(render([tier("entry", api=None)]))[1]
    kinds = {item.get("class") for item in curves.iter("path")}
    assert "curve" in kinds
    assert "rented" in kinds
    assert not kinds & {"api", "even"}


def test_an_unknown_throughput_is_stated_and_not_drawn() -> None:
    report, outlook = tier("entry")
    blind = replace(outlook, tokens=dict.fromkeys(outlook.tokens))
    page = render([(report, blind)])
    assert len(pictures(page)) == 1
    assert "unknown: no capacity figure, or nothing is priced" in page


def test_every_price_has_its_source(page: str) -> None:
    for name in TIERS:
        for item in tier(name)[0].prices:
            assert f"<td>{item.id}</td>" in page
            assert item.as_of.isoformat() in page
    assert "<td>not priced</td>" in page


def test_a_hostile_name_stays_text() -> None:
    report, outlook = tier("entry")
    bad = "<script>alert(1)</script>"
    prices = [item.model_copy(update={"source": bad, "quoted": True}) for item in report.prices]
    page = render([(report.model_copy(update={"prices": prices, "stack": bad}), replace(outlook, stack=bad))])
    assert "<script" not in page
    assert "&lt;script&gt;" in page


@pytest.mark.parametrize(("per_usd", "code"), [("1", "USD"), ("0.86", "EUR"), ("155", "JPY")])
def test_the_axis_of_money_has_round_values_of_the_currency(per_usd: str, code: str) -> None:
    plan = replace(plan_of("entry"), currency=CurrencyPlan(code, dec(per_usd), "our bank", TODAY))
    priced = priced_stack(plan, TODAY, None, None)
    curves = pictures(render([(priced.report, priced.outlook)]))[1]
    texts = ["".join(item.itertext()) for item in curves.iter("text") if item.get("text-anchor") == "end"]
    amounts = [text.removeprefix("$").removeprefix(f"{code} ") for text in texts if "utilisation" not in text]
    assert len(amounts) >= 3
    assert all(re.fullmatch(r"(0\.0*)?[125][0,]*(\.0+)?", amount) for amount in amounts), amounts
