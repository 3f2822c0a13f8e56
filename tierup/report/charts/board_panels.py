"""The inside of each kind of panel of a board, drawn from the last values or the course of its series."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from tierup.report.charts.axes import COLOURS
from tierup.report.charts.drawn import GRID, HUES, QUIET, TRACK, Area, Box, Drawn, Line, Text
from tierup.report.charts.lines import path
from tierup.report.charts.plot import plotted
from tierup.report.charts.units import written

Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Series:
    """One series with its name, and its last value."""

    name: str
    values: tuple[float | None, ...]
    plan: bool

    @property
    def last(self) -> float:
        return next((value for value in reversed(self.values) if value is not None), 0.0)


def hue(defaults: Json, value: float) -> str:
    """The colour of a value: that of the highest bound which it reaches."""
    steps = defaults["thresholds"]["steps"]
    reached = [step["color"] for step in steps if step["value"] is None or value >= step["value"]]
    return HUES[reached[-1]]


def _shown(defaults: Json, value: float) -> str:
    """A value as text: the one that is mapped to it, or the number with its unit."""
    for mapping in defaults.get("mappings", ()):
        if (text := mapping["options"].get(f"{value:g}")) is not None:
            return str(text["text"])
    return written(value, defaults["unit"])


def _stat(drawn: Drawn, defaults: Json, area: Area, series: Sequence[Series]) -> None:
    wide = area.width / len(series)
    size = min(30.0, wide / 5)
    for index, item in enumerate(series):
        x, y = area.x + wide * (index + 0.5), area.y + area.height / 2 + size / 3
        colour = hue(defaults, item.last)
        drawn.texts.append(Text(x, y, _shown(defaults, item.last), size, colour, "middle", bold=True))
        name = Area(0, 0, wide, 0).cut(item.name)
        drawn.texts.append(Text(x, area.y + area.height, name, 10, QUIET, "middle"))


def _bars(drawn: Drawn, defaults: Json, area: Area, series: Sequence[Series]) -> None:
    most = defaults.get("max", max(item.last for item in series) or 1)
    tall = area.height / len(series)
    for index, item in enumerate(series):
        y, length = area.y + tall * index, min(1.0, item.last / most) * (area.width - 70)
        thick = min(22.0, tall - 20)
        drawn.texts.append(Text(area.x, y + 10, area.cut(item.name), 10, QUIET))
        drawn.boxes.append(Box(area.x, y + 16, area.width - 70, thick, TRACK))
        drawn.boxes.append(Box(area.x, y + 16, round(length, 1), thick, hue(defaults, item.last)))
        end = Text(
            area.x + area.width,
            y + 21 + thick / 2,
            _shown(defaults, item.last),
            14,
            hue(defaults, item.last),
        )
        drawn.texts.append(Text(end.x, end.y, end.text, end.size, end.colour, "end", bold=True))


def _graph(drawn: Drawn, defaults: Json, area: Area, series: Sequence[Series]) -> None:
    bounds = [
        (step["value"], step["color"])
        for step in defaults["thresholds"]["steps"]
        if step["value"] is not None
    ]
    log = defaults["custom"].get("scaleDistribution", {}).get("type") == "log"
    plot = plotted([item.values for item in series], [value for value, _ in bounds], log, defaults.get("max"))
    left, right = area.x + 58, area.x + area.width
    top, bottom = area.y + 4, area.y + area.height - 18
    across = (right - left) / (len(series[0].values) - 1)

    def down(value: float) -> float:
        return round(bottom - plot.share(value) * (bottom - top), 1)

    for tick in plot.ticks:
        drawn.lines.append(Line(f"M{left:g} {down(tick):g} H{right:g}", GRID, width=0.7))
        drawn.texts.append(
            Text(left - 6, down(tick) + 3.5, written(tick, defaults["unit"]), 9.5, QUIET, "end")
        )
    for value, colour in bounds:
        if plot.low <= value <= plot.high:
            drawn.lines.append(Line(f"M{left:g} {down(value):g} H{right:g}", HUES[colour], "5 3"))
    hues = dict(zip([item.name for item in series if not item.plan], COLOURS * len(series), strict=False))
    legend = left
    for item in series:
        colour = "#8c959f" if item.plan else hues[item.name]
        points = [(round(left + across * i, 1), down(v)) for i, v in enumerate(item.values) if v is not None]
        drawn.lines.append(Line(path(points), colour, "6 4" if item.plan else ""))
        if legend + len(item.name) * 5.6 < right:
            drawn.texts.append(Text(legend, area.y + area.height + 2, item.name, 9.5, colour))
            legend += len(item.name) * 5.6 + 14


def _timeline(drawn: Drawn, defaults: Json, area: Area, series: Sequence[Series]) -> None:
    texts: Json = defaults["mappings"][0]["options"]
    left, tall = area.x + area.width / 3, min(34.0, area.height / len(series))
    across = (area.x + area.width - left) / len(series[0].values)
    for index, item in enumerate(series):
        y = area.y + tall * index
        name = Area(0, 0, area.width / 3 - 8, 0).cut(item.name, 10)
        drawn.texts.append(Text(left - 8, y + tall / 2 + 3, name, 10, QUIET, "end"))
        start = 0
        for value, same in groupby(item.values):
            end = start + len(list(same))
            if value is not None:
                box = (round(left + across * start, 1), y + 3, round(across * (end - start), 1), tall - 8)
                drawn.boxes.append(Box(*box, HUES[texts[f"{value:g}"]["color"]]))
            start = end


def _table(drawn: Drawn, _defaults: Json, area: Area, series: Sequence[Series]) -> None:
    for index, item in enumerate(series):
        drawn.texts.append(Text(area.x, area.y + 14 + 18 * index, area.cut(item.name)))


KINDS = {
    "stat": _stat,
    "bargauge": _bars,
    "timeseries": _graph,
    "state-timeline": _timeline,
    "table": _table,
}


def note(drawn: Drawn, panel: Json, area: Area) -> None:
    for index, line in enumerate(panel["options"]["content"].splitlines()[: int(area.height / 16)]):
        drawn.texts.append(Text(area.x, area.y + 10 + 16 * index, area.cut(line), colour=QUIET))
