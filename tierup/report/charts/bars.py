"""The chart of monthly costs: one bar per tier, divided by component."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import cycle

from tierup.cost.report.cost import StackReport
from tierup.report.charts.axes import COLOURS

LEFT, RIGHT, TOP, ROW, LEGEND, IN_ROW = 110, 760, 44, 44, 160, 4  # pixels; IN_ROW: legend entries in a row
# Two more than the comparison's, for eight components.
HUES = (*COLOURS, "#56b4e9", "#e69f00")


@dataclass(frozen=True)
class Segment:
    """One component of one tier's month, in pixels and USD."""

    stack: str
    component: str
    colour: str
    x: float
    y: int
    width: float
    usd: str


@dataclass(frozen=True)
class Sum:
    """A tier's total, at the end of its bar."""

    stack: str
    y: int
    end: float
    usd: str


@dataclass(frozen=True)
class LegendEntry:
    """One component of the legend."""

    component: str
    colour: str
    x: int
    y: int


@dataclass(frozen=True)
class Bars:
    """The chart; `description` is its text alternative."""

    height: int
    segments: list[Segment]
    sums: list[Sum]
    legend: list[LegendEntry]
    description: str


def bars(tiers: Sequence[StackReport]) -> Bars:
    """All bars on one scale; unpriced components are not drawn."""
    names = dict.fromkeys(item.component for tier in tiers for item in tier.components if item.usd_per_month)
    hues = dict(zip(names, cycle(HUES), strict=False))
    most = max((tier.totals.usd_per_month for tier in tiers), default=Decimal(0))
    pixels = (RIGHT - LEFT) / most if most else Decimal(0)
    segments, sums = [], []
    for index, tier in enumerate(tiers):
        x, y = Decimal(LEFT), TOP + index * ROW
        for item in tier.components:
            if item.usd_per_month:
                width = item.usd_per_month * pixels
                hue, amount = hues[item.component], f"{item.usd_per_month:f}"
                segments.append(Segment(tier.stack, item.component, hue, _px(x), y, _px(width), amount))
                x += width
        sums.append(Sum(tier.stack, y, _px(x), f"{tier.totals.usd_per_month:f}"))
    under = TOP + len(tiers) * ROW + 16
    legend = [
        LegendEntry(name, hue, LEFT + LEGEND * (index % IN_ROW), under + 20 * (index // IN_ROW))
        for index, (name, hue) in enumerate(hues.items())
    ]
    description = "; ".join(f"{item.stack} {item.usd} USD a month" for item in sums)
    return Bars(under + 20 * -(-len(legend) // IN_ROW) + 8, segments, sums, legend, description)


def _px(value: Decimal) -> float:
    return round(float(value), 2)
