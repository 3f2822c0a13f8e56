"""Pictures of boards write values as Grafana does, in the colour of the bound that they reach."""

import json
import re
from typing import Any
from xml.etree import ElementTree

import pytest

from tierup.manifests.boards.board import as_json
from tierup.manifests.boards.panels import Frame, Query, Scale, graph, stat
from tierup.report.charts.board import render
from tierup.report.charts.plot import plotted
from tierup.report.charts.units import written

SVG = "{http://www.w3.org/2000/svg}"
FRAME = Frame("Waiting", "s", "How long requests wait.", "no requests", scale=Scale.rising(1, 2))
GREEN, YELLOW, RED = "#1a7f37", "#9a6700", "#cf222e"


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.0841, "s", "84.1 ms"),
        (90, "s", "1.5 min"),
        (0.975, "percentunit", "97.5 %"),
        (4019.4392, "currencyUSD", "$4,019.44"),
        (763_211, "short", "763k"),
        (0, "bps", "0 b/s"),
        (7.3e8, "bps", "730 Mb/s"),
        (21_474_836_480, "bytes", "20 GiB"),
        (1.41e9, "hertz", "1.41 GHz"),
        (12, "d", "12 d"),
    ],
)
def test_a_value_has_its_unit(value: float, unit: str, text: str) -> None:
    assert written(value, unit) == text


def picture(panel: Any, values: list[float | None] | None) -> ElementTree.Element:
    """A board of one panel, with one series or none."""
    shown = panel.build()
    shown.grid_pos.x, shown.grid_pos.y = 0, 0
    board = {"title": "Board", "description": "About.", "panels": [json.loads(as_json(shown))]}
    answers = {} if values is None else {"b.json/Waiting/A": [{"labels": {"model": "m"}, "values": values}]}
    return ElementTree.fromstring(render("b.json", board, answers))


def texts(drawn: ElementTree.Element) -> dict[str | None, str | None]:
    return {item.text: item.get("fill") for item in drawn.iter(f"{SVG}text")}


@pytest.mark.parametrize(("value", "colour"), [(0.5, GREEN), (1, YELLOW), (1.99, YELLOW), (2, RED)])
def test_a_number_has_the_colour_of_the_bound_that_it_reaches(value: float, colour: str) -> None:
    drawn = texts(picture(stat(FRAME, Query("x", "{{model}}")), [0.1, value, None]))
    assert drawn[written(value, "s")] == colour
    assert "m" in drawn


@pytest.mark.parametrize("panel", [stat, graph])
def test_a_panel_without_data_says_why(panel: Any) -> None:
    assert "no requests" in texts(picture(panel(FRAME, Query("x", "x")), None))
    assert "no requests" in texts(picture(panel(FRAME, Query("x", "x")), [None, None]))


def test_a_graph_shows_its_bounds_and_a_dashed_line_of_the_plan() -> None:
    drawn = picture(graph(FRAME, Query("x", "{{model}} planned", plan=True)), [1.5, 1.5, 1.5])
    dashed = {item.get("stroke") for item in drawn.iter(f"{SVG}path") if item.get("stroke-dasharray")}
    assert dashed == {YELLOW, RED, "#8c959f"}


def test_a_line_starts_and_ends_where_there_are_values() -> None:
    drawn = picture(graph(FRAME, Query("x", "x")), [None, 0.5, 1.0, None])
    (line,) = [item.get("d") or "" for item in drawn.iter(f"{SVG}path") if item.get("stroke") == "#0072b2"]
    assert len(re.findall(r"[ML]", line)) == 2


def test_an_axis_ends_above_every_value_and_near_bound() -> None:
    assert plotted([[0.0, 0.0]], [5], log=False, most=None).high == 2
    assert plotted([[3.0, None]], [5], log=False, most=None).high == 10
    assert plotted([[3.0]], [500], log=False, most=None).high == 5
    assert plotted([[0.2]], [], log=False, most=1).high == 1
    logarithmic = plotted([[0.02, 3.0]], [], log=True, most=None)
    assert (logarithmic.low, logarithmic.high) == (0.01, 10)
    assert logarithmic.share(0.01) == 0
    assert logarithmic.share(100) == 1
