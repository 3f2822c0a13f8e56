"""The vertical axis of a panel: its range from values, bounds and a fixed end, plain or logarithmic."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tierup.report.charts.axes import power_below, round_above

_TICKS = 4


@dataclass(frozen=True, slots=True)
class Plot:
    """An axis from `low` to `high` with ticks."""

    low: float
    high: float
    log: bool
    ticks: tuple[float, ...]

    def share(self, value: float) -> float:
        """How far up a value is, from 0 to 1; values outside are on the edge."""
        inside = min(max(value, self.low), self.high)
        if self.log:
            return math.log(inside / self.low) / math.log(self.high / self.low)
        return (inside - self.low) / (self.high - self.low)


def plotted(
    series: Iterable[Sequence[float | None]], bounds: Sequence[float], log: bool, most: float | None
) -> Plot:
    """The axis for these series; a bound is shown if it does not press the series together."""
    values = [value for item in series for value in item if value is not None]
    if log:
        above = [value for value in values if value > 0] or [1.0]
        low, high = power_below(min(above)), power_below(max(above)) * 10
        powers = range(round(math.log10(low)), round(math.log10(high)) + 1)
        return Plot(low, high, log, tuple(10.0**power for power in powers))
    highest = max(values) or 1.0
    near = [bound for bound in bounds if bound <= 2 * highest]
    high = most if most is not None else round_above(max([highest, *near]) * 1.05)
    step = round_above(high / _TICKS)
    return Plot(0.0, high, log, tuple(step * n for n in range(math.floor(high / step) + 1)))
