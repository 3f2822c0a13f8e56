"""The geometry of the plots in a report; every value comes from the results."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle

from tierup.report.charts.axes import COLOURS, Axis
from tierup.report.charts.linear import Linear
from tierup.tuning.results import MeasuredClass, Results

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 880, 300, 70, 860, 40, 250  # pixels
STEP_PERCENT = 5  # between two entries of `ttftStepsMs`
Point = tuple[float, float]
Tick = tuple[float, str]


@dataclass(frozen=True, slots=True)
class Line:
    """One line in pixels; promised values are `dashed`."""

    name: str
    colour: str
    path: str
    dashed: bool


@dataclass(frozen=True, slots=True)
class Plot:
    """One plot; a tick is a position in pixels and a label."""

    id: str
    title: str
    x_label: str
    x_ticks: list[Tick]
    y_ticks: list[Tick]
    lines: list[Line]


@dataclass(frozen=True, slots=True)
class _Series:
    name: str
    points: Sequence[Point]
    dashed: bool = False


def plots(results: Results) -> list[Plot]:
    """Time to the first token over time and by percentile, tokens per second; each class has its colour."""
    end = results.load.seconds
    time, percent = Linear(end, LEFT, RIGHT), Linear(100, LEFT, RIGHT)
    first = "Time to the first token, ms, logarithmic"
    return [
        _plot(
            ("ttft", f"{first}: 95th percentile", "seconds"), time, _latency, _series(results, _first(end))
        ),
        _plot(("distribution", first, "percentile"), percent, _latency, _series(results, _steps)),
        _plot(("throughput", "Output tokens per second", "seconds"), time, _rate, _series(results, _tokens)),
    ]


def _series(results: Results, of: Callable[[MeasuredClass], Iterator[_Series]]) -> list[tuple[_Series, str]]:
    colours = zip(results.classes.items(), cycle(COLOURS), strict=False)
    return [
        (_Series(f"{name}{item.name}", item.points, item.dashed), colour)
        for (name, measured), colour in colours
        for item in of(measured)
    ]


def _first(end: float) -> Callable[[MeasuredClass], Iterator[_Series]]:
    def series(item: MeasuredClass) -> Iterator[_Series]:
        yield _Series("", [(p.at, p.ttft_p95_ms) for p in item.timeline if p.ttft_p95_ms is not None])
        yield _Series(" promised", [(0, item.promised_ttft_ms), (end, item.promised_ttft_ms)], dashed=True)

    return series


def _steps(item: MeasuredClass) -> Iterator[_Series]:
    yield _Series("", [(n * STEP_PERCENT, value) for n, value in enumerate(item.ttft_steps_ms)])


def _tokens(item: MeasuredClass) -> Iterator[_Series]:
    yield _Series("", [(part.at, part.out_tokens_per_second) for part in item.timeline])


def _latency(values: Sequence[float]) -> Axis | Linear:
    """A logarithmic axis between powers of ten: the promises of classes differ widely."""
    low, high = max(min(values), 0.1), max(values)
    ends = 10.0 ** math.floor(math.log10(low)), 10.0 ** (math.floor(math.log10(high)) + 1)
    return Axis(*ends, BOTTOM, TOP)


def _rate(values: Sequence[float]) -> Axis | Linear:
    return Linear(max(1.0, max(values) * 1.1), BOTTOM, TOP)


def _plot(
    labels: tuple[str, str, str],
    x: Linear,
    axis: Callable[[Sequence[float]], Axis | Linear],
    series: list[tuple[_Series, str]],
) -> Plot:
    values = [value for item, _ in series for _, value in item.points]
    y = axis(values if values else [1.0])
    return Plot(
        *labels,
        x_ticks=[(x.at(value), f"{value:g}") for value in x.ticks()],
        y_ticks=[(y.at(value), f"{value:g}") for value in y.ticks()],
        lines=[
            Line(item.name, colour, _path(item.points, x, y), item.dashed)
            for item, colour in series
            if item.points
        ],
    )


def _path(points: Sequence[Point], x: Linear, y: Axis | Linear) -> str:
    """An SVG path; a single point becomes a short stroke."""
    positions = [f"{x.at(across):g} {y.at(up):g}" for across, up in points]
    return "M" + " L".join(positions) + (" h3" if len(positions) == 1 else "")
