"""Ranges of money and of work, and the range of the cost of an hour."""

from dataclasses import dataclass
from decimal import Decimal

from tierup.cost.types import TierCost
from tierup.sizing import Range
from tierup.sizing.types import rounded


@dataclass(frozen=True, slots=True)
class Span:
    """A figure and the bounds it is believed to lie in."""

    value: Decimal
    low: Decimal
    high: Decimal

    def times(self, factor: Decimal) -> "Span":
        """All three, for a factor of 0 or more."""
        return Span(self.value * factor, self.low * factor, self.high * factor)

    def plus(self, other: "Span") -> "Span":
        """Each end with its like."""
        return Span(self.value + other.value, self.low + other.low, self.high + other.high)

    def per(self, work: "Span") -> "Span":
        """Divided by a span above 0: the lowest is the least of this for the most of that."""
        return Span(self.value / work.value, self.low / work.high, self.high / work.low)


def exact(value: float) -> Decimal:
    """A figure of the sizing model as a decimal, of the four digits that it is good for."""
    return Decimal(str(rounded(value)))


def of_range(sized: Range) -> Span:
    return Span(exact(sized.p50), exact(sized.low), exact(sized.high))


def hourly(cost: TierCost) -> Span:
    """USD per hour of all that is priced."""
    low, high = cost.range_per_hour
    return Span(cost.usd_per_hour, low, high)
