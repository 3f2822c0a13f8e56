"""Decides where a value stands on a logarithmic axis, and in which colours curves are drawn."""

import math
from dataclasses import dataclass

STEPS = (1, 2, 5, 10)  # where a logarithmic axis has its lines
# Three hues that colour-blind people tell apart on white (Okabe and Ito), then three more.
COLOURS = ("#0072b2", "#d55e00", "#007a5a", "#aa3377", "#8a6d00", "#555555")


@dataclass(frozen=True)
class Axis:
    """A logarithmic axis: `low` at pixel `start`, `high` at pixel `end`."""

    low: float
    high: float
    start: float
    end: float

    def at(self, value: float) -> float:
        """The pixel of a value; what is outside stands on the edge."""
        inside = min(max(value, self.low), self.high)
        share = math.log(inside / self.low) / math.log(self.high / self.low)
        return round(self.start + share * (self.end - self.start), 1)

    def ticks(self) -> list[float]:
        """1, 2 and 5 of every power of ten."""
        powers = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
        values = (step * 10.0**power for power in powers for step in STEPS[:3])
        return [value for value in values if self.low * 0.999 <= value <= self.high * 1.001]
