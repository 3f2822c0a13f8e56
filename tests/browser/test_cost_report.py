"""`tierup cost --report`: a real browser draws bars of the right length, with the numbers of the JSON."""

import json
import re
from collections import Counter
from collections.abc import Callable
from decimal import Decimal
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from command import Command
from PIL import Image

from tierup.cli.generate import ROOT
from tierup.cost.report.figures import usd

Browse = Callable[..., str]
TIERS = ("entry", "standard", "premium")
BAR, LEGEND = 24, 12 * 12  # pixels: the height of a bar, the area of a legend's square


@pytest.fixture
def tierup(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    monkeypatch.chdir(ROOT)
    return Command(monkeypatch, capsys)


@pytest.fixture
def page(tierup: Command, tmp_path: Path) -> Path:
    """The page of all tiers, created as a user does."""
    file = tmp_path / "cost.html"
    others = [word for tier in TIERS[1:] for word in ("--beside", tier)]
    result = tierup("cost", "--stack", TIERS[0], "--api", "0.10/0.40", "--report", str(file), *others)
    assert result.code == 0
    return file


class Document(HTMLParser):
    """The browser's document of a page: bars, dots, and the cells of every table by its caption."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.bars: list[dict[str, str]] = []
        self.dots: list[dict[str, str]] = []
        self.tables: list[tuple[str, list[list[str]]]] = []
        self._into = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = {name: value if value is not None else "" for name, value in attrs}
        match tag, named.get("class"):
            case "rect", "bar":
                self.bars.append(named)
            case "circle", "expected":
                self.dots.append(named)
            case "table", _:
                self.tables.append(("", []))
            case "tr", _:
                self.tables[-1][1].append([])
            case (("td" | "th"), _):
                self.tables[-1][1][-1].append("")
        self._into = tag

    def handle_endtag(self, tag: str) -> None:
        self._into = ""

    def handle_data(self, data: str) -> None:
        if self._into == "caption":
            self.tables[-1] = (data, self.tables[-1][1])
        elif self._into in ("td", "th"):
            self.tables[-1][1][-1][-1] += data

    def rows(self, caption: str) -> list[list[list[str]]]:
        """The rows under the heads of every table of that name, in the page's order."""
        return [rows[1:] for name, rows in self.tables if name == caption]


def test_the_browser_shows_the_numbers_of_the_json(tierup: Command, browse: Browse, page: Path) -> None:
    document = Document(browse(page, "--dump-dom"))
    reports: dict[str, Any] = {
        tier: json.loads(tierup("cost", "--stack", tier, "--api", "0.10/0.40", "--json").out)
        for tier in TIERS
    }
    drawn = {(bar["data-stack"], bar["data-component"]): bar["data-usd-per-month"] for bar in document.bars}
    assert len(drawn) == len(document.bars)
    assert drawn == {
        (tier, item["component"]): item["usdPerMonth"]
        for tier, report in reports.items()
        for item in report["components"]
        if Decimal(item["usdPerMonth"])
    }
    ((*_, total),) = document.rows("a month")
    assert total[1:] == [usd(Decimal(report["totals"]["usdPerMonth"])) for report in reports.values()]
    assert [dot["data-name"].split(",")[0] for dot in document.dots] == list(TIERS)
    for index, report in enumerate(reports.values()):
        lines = document.rows("owned")[index]
        assert [row[4] for row in lines] == [
            "not priced" if item["usdPerMonth"] is None else usd(Decimal(item["usdPerMonth"]))
            for item in report["lines"]
        ]
        prices = document.rows("prices used")[index]
        assert [row[:2] for row in prices] == [
            [item["id"], "not priced" if item["value"] is None else item["value"]]
            for item in report["prices"]
        ]
        years = report["outlook"]["threeYears"]
        assert document.rows("three years, what is not priced left out")[index][-1] == [
            "total",
            usd(Decimal(years["totalUsd"])),
        ]


def test_the_bars_have_the_right_length_on_the_screen(browse: Browse, page: Path, tmp_path: Path) -> None:
    document, picture = Document(browse(page, "--dump-dom")), tmp_path / "page.png"
    browse(page, f"--screenshot={picture}", "--window-size=1000,1000")
    with Image.open(picture) as image:
        assert image.size == (1000, 1000)
        colours = Counter(image.convert("RGB").get_flattened_data())
    assert len(colours) > 20  # not blank: white, text, grid, bars, curves
    areas: Counter[str] = Counter()
    for bar in document.bars:
        areas[bar["fill"]] += round(float(bar["width"]) * BAR)
    assert len(areas) >= 4
    for colour, area in areas.items():
        red, green, blue = (int(part, 16) for part in re.findall("..", colour[1:]))
        shown = colours[red, green, blue]
        # Bars' ends are mixed with what is beside them; curves and dots of the same colour come on top.
        assert 0.9 * area < shown < area + LEGEND + 6000, colour
