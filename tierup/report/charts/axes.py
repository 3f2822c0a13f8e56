"""Axes of charts: the pixel of a value, the ticks, and the colours of curves and bars."""

import math
from collections.abc import Callable
from dataclasses import dataclass

STEPS = (1, 2, 5, 10)  # of a power of ten: the round values of every axis
_LINEAR_TICKS = 6  # approximately
# Three hues that colour-blind people tell apart on white (Okabe and Ito), then three more.
COLOURS = ("#0072b2", "#d55e00", "#007a5a", "#aa3377", "#8a6d00", "#555555")
Tick = tuple[float, str]  # pixel and label


@dataclass(frozen=True, slots=True)
class LogAxis:
    """A logarithmic axis: `low` at pixel `start`, `high` at pixel `end`."""

    low: float
    high: float
    start: float
    end: float

    def at(self, value: float) -> float:
        """The pixel of a value; values outside the axis are put on its edge."""
        inside = min(max(value, self.low), self.high)
        share = math.log(inside / self.low) / math.log(self.high / self.low)
        return round(self.start + share * (self.end - self.start), 1)

    def ticks(self) -> list[float]:
        """1, 2 and 5 of every power of ten."""
        powers = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
        values = (step * 10.0**power for power in powers for step in STEPS[:3])
        return [value for value in values if self.low * 0.999 <= value <= self.high * 1.001]


@dataclass(frozen=True, slots=True)
class LinearAxis:
    """A plain axis from 0 at pixel `start` to `high` at pixel `end`."""

    high: float
    start: float
    end: float

    def at(self, value: float) -> float:
        """The pixel of a value."""
        return round(self.start + value / self.high * (self.end - self.start), 1)

    def ticks(self) -> list[float]:
        """Round values, evenly spaced."""
        step = round_above(self.high / _LINEAR_TICKS)
        return [n * step for n in range(math.floor(self.high / step) + 1)]


Axis = LogAxis | LinearAxis


def labelled(axis: Axis, label: Callable[[float], str] = "{:g}".format) -> list[Tick]:
    """The axis' ticks with their labels."""
    return [(axis.at(value), label(value)) for value in axis.ticks()]


def round_above(value: float) -> float:
    """The smallest round value that is not below this one."""
    power = power_below(value)
    return next(step * power for step in STEPS if step * power >= value)


def round_below(value: float) -> float:
    """The largest round value that is not above this one."""
    power = power_below(value)
    return next(step * power for step in reversed(STEPS) if step * power <= value)


def power_below(value: float) -> float:
    """The largest power of ten that is not above this value."""
    return 10.0 ** math.floor(math.log10(value))
