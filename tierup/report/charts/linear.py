"""Decides where a value stands on an axis that begins at zero."""

import math
from dataclasses import dataclass

from tierup.report.charts.axes import STEPS

_TICKS = 6  # about so many


@dataclass(frozen=True, slots=True)
class Linear:
    """A plain axis from 0 at pixel `start` to `high` at pixel `end`."""

    high: float
    start: float
    end: float

    def at(self, value: float) -> float:
        """The pixel of a value."""
        return round(self.start + value / self.high * (self.end - self.start), 1)

    def ticks(self) -> list[float]:
        """Round values, evenly spaced."""
        power = 10.0 ** math.floor(math.log10(self.high / _TICKS))
        step = next(step * power for step in STEPS if step * power >= self.high / _TICKS)
        return [n * step for n in range(math.floor(self.high / step) + 1)]
