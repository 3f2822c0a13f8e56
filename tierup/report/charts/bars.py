"""The chart of monthly costs: one bar per tier, divided by component."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import cycle

from tierup.cost.report.cost import StackReport
from tierup.cost.report.figures import NOT_PRICED
from tierup.report.charts.axes import COLOURS

LEFT, RIGHT, TOP, ROW, HEIGHT, OPEN = 16, 864, 44, 84, 24, 40  # pixels; OPEN: what has no length is this wide
# Two more than the comparison's, for eight components.
HUES = (*COLOURS, "#5b3fa0", "#7a4a21")


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
    text: str


@dataclass(frozen=True)
class Sum:
    """All of a tier's month: its text above the bar, where the bar ends, and what has no length there."""

    stack: str
    y: int
    end: float
    text: str
    unpriced: list[str]


@dataclass(frozen=True)
class LegendEntry:
    """One component of the legend."""

    component: str
    colour: str


@dataclass(frozen=True)
class Bars:
    """The chart; `description` is its text alternative."""

    height: int
    segments: list[Segment]
    sums: list[Sum]
    legend: list[LegendEntry]
    description: str


def bars(tiers: Sequence[StackReport]) -> Bars:
    """All on one scale, so that lengths compare; what is not priced is an open end, as long for one as for many."""
    names = dict.fromkeys(item.component for tier in tiers for item in tier.components if item.usd_per_month)
    hues = dict(zip(names, cycle(HUES), strict=False))
    most = max((tier.totals.usd_per_month for tier in tiers), default=Decimal(0))
    pixels = (RIGHT - OPEN - LEFT) / most if most else Decimal(0)
    segments, sums = [], []
    for index, tier in enumerate(tiers):
        x, y = Decimal(LEFT), TOP + index * ROW
        for item in tier.components:
            if item.usd_per_month:
                width = item.usd_per_month * pixels
                hue, usd = hues[item.component], item.usd_per_month
                text = f"{item.component}: {tier.shown.text(usd)} a month"
                segments.append(
                    Segment(tier.stack, item.component, hue, _px(x), y, _px(width), f"{usd:f}", text)
                )
                x += width
        sums.append(Sum(tier.stack, y, _px(x), month_of(tier), tier.unpriced))
    legend = [LegendEntry(name, hue) for name, hue in hues.items()]
    description = "; ".join(f"{item.stack} {item.text} a month" for item in sums)
    return Bars(TOP + len(tiers) * ROW - 44, segments, sums, legend, description)


def month_of(tier: StackReport) -> str:
    """A month of all that is priced, and how much is not."""
    more = f" + {tier.unpriced_count} {NOT_PRICED}" if tier.unpriced_count else ""
    return f"{tier.shown.text(tier.totals.usd_per_month)}{more}"


def _px(value: Decimal) -> float:
    return round(float(value), 2)
