"""The geometry of the plots in a report; every value comes from the results."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle

from tierup.report.charts.axes import (
    COLOURS,
    Axis,
    LinearAxis,
    LogAxis,
    Tick,
    labelled,
    milliseconds,
    power_below,
)
from tierup.report.charts.lines import path
from tierup.tuning.results import MeasuredClass, Results

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 880, 380, 110, 840, 60, 300  # pixels
STEP_PERCENT = 5  # between two entries of `ttftStepsMs`
Point = tuple[float, float]  # values, not pixels
Label = Callable[[float], str]  # the text of a tick


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
    time, percent = LinearAxis(end, LEFT, RIGHT), LinearAxis(100, LEFT, RIGHT)
    first, at = "Time to the first token", "time since the warm-up"
    return [
        _plot(
            ("ttft", f"{first}, 95th percentile (logarithmic)", at),
            (time, "{:g} s".format),
            (_latency, milliseconds),
            _series(results, _first(end)),
        ),
        _plot(
            ("distribution", f"{first} (logarithmic)", "part of the requests that is faster"),
            (percent, "{:g} %".format),
            (_latency, milliseconds),
            _series(results, _steps),
        ),
        _plot(
            ("throughput", "Output tokens per second", at),
            (time, "{:g} s".format),
            (_rate, "{:g}/s".format),
            _series(results, _tokens),
        ),
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
        promised = f", promised {milliseconds(item.promised_ttft_ms)}"
        yield _Series(promised, [(0, item.promised_ttft_ms), (end, item.promised_ttft_ms)], dashed=True)

    return series


def _steps(item: MeasuredClass) -> Iterator[_Series]:
    yield _Series("", [(n * STEP_PERCENT, value) for n, value in enumerate(item.ttft_steps_ms)])


def _tokens(item: MeasuredClass) -> Iterator[_Series]:
    yield _Series("", [(part.at, part.out_tokens_per_second) for part in item.timeline])


def _latency(values: Sequence[float]) -> Axis:
    """A logarithmic axis between powers of ten: the promises of classes differ widely."""
    low, high = max(min(values), 0.1), max(values)
    return LogAxis(power_below(low), power_below(high) * 10, BOTTOM, TOP)


def _rate(values: Sequence[float]) -> Axis:
    return LinearAxis(max(1.0, max(values) * 1.1), BOTTOM, TOP)


def _plot(
    labels: tuple[str, str, str],
    across: tuple[LinearAxis, Label],
    up: tuple[Callable[[Sequence[float]], Axis], Label],
    series: list[tuple[_Series, str]],
) -> Plot:
    values = [value for item, _ in series for _, value in item.points]
    x, y = across[0], up[0](values if values else [1.0])
    return Plot(
        *labels,
        x_ticks=labelled(*across),
        y_ticks=labelled(y, up[1]),
        lines=[
            Line(item.name, colour, _path(item.points, x, y), item.dashed)
            for item, colour in series
            if item.points
        ],
    )


def _path(points: Sequence[Point], x: LinearAxis, y: Axis) -> str:
    """An SVG path; a single point becomes a short stroke."""
    return path([(x.at(across), y.at(up)) for across, up in points]) + (" h3" if len(points) == 1 else "")
