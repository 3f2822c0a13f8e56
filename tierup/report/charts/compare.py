"""The chart of a comparison: latency against users, and the most users of each tier.

Drawn by a template of our own: a plotting library would be many times the size of the base install, and its bytes
change with its version and the fonts of the machine, while the committed chart must equal a new rendering.
Labels cannot overlap whatever the figures are: each tier has a row of its own above the curves and one below.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import cycle

from tierup.compare import Comparison, Tier
from tierup.report.charts.axes import COLOURS, LogAxis, labelled, power_below, round_above, round_below
from tierup.report.charts.lines import band, path
from tierup.templates import TEMPLATES

WIDTH, LEFT, RIGHT, TOP, HEIGHT, ROW = 880, 176, 846, 84, 300, 22  # pixels; TOP: first label, HEIGHT: curves
_NAME = 10  # letters of a stack that fit in the left margin


def render(comparison: Comparison) -> str:
    """The chart as SVG."""
    rows = len(comparison.tiers)
    top = TOP + rows * ROW
    bottom = top + HEIGHT
    strip = bottom + 66  # y of the first row of the guide's users
    x = LogAxis(*_users(comparison.tiers), LEFT, RIGHT)
    y = LogAxis(*_latencies(comparison.tiers), bottom, top)
    by_users = sorted(comparison.tiers, key=lambda tier: tier.most_users.p50, reverse=True)
    label_y = {
        tier.name: TOP + index * ROW for index, tier in enumerate(by_users)
    }  # so no line crosses a label
    colours = zip(comparison.tiers, cycle(COLOURS), strict=False)
    drawn = [_draw_tier(tier, colour, label_y[tier.name], x, y) for tier, colour in colours]
    return TEMPLATES.get_template("compare.svg.j2").render(
        width=WIDTH,
        height=strip + rows * ROW + 44,
        left=LEFT,
        right=RIGHT,
        top=top,
        bottom=bottom,
        strip=strip,
        row=ROW,
        x_ticks=labelled(x),
        y_ticks=labelled(y, _time),
        tiers=drawn,
        subtitle=_subtitle(comparison.tiers),
        description=_description(comparison.tiers),
    )


def _users(tiers: Iterable[Tier]) -> tuple[float, float]:
    """The range of the axis: from well below the fewest users to the end of the longest curve."""
    fewest = min(min(t.most_users.low, t.guide.users.low if t.guide else math.inf) for t in tiers)
    most = max(max(t.curve[-1].users, t.guide.users.high if t.guide else 0.0) for t in tiers)
    return power_below(max(1.0, fewest / 1.5)), round_above(most)


def _latencies(tiers: Iterable[Tier]) -> tuple[float, float]:
    ranges = [point.ttft_ms for tier in tiers for point in tier.curve]
    return round_below(min(span.low for span in ranges)), round_above(max(span.high for span in ranges))


@dataclass(frozen=True)
class DrawnTier:
    """One tier in pixels, with its labels; `claim` is the start and width of the bar of the guide's users."""

    name: str
    colour: str
    line: str
    band: str
    knee: tuple[float, float]
    at_once: float
    label: str
    label_y: float
    claim: tuple[float, float] | None
    claim_label: str


def _draw_tier(tier: Tier, colour: str, label_y: float, x: LogAxis, y: LogAxis) -> DrawnTier:
    before = sum(point.users < x.low for point in tier.curve)
    inside = tier.curve[max(0, before - 1) :]
    upper = [(x.at(point.users), y.at(point.ttft_ms.high)) for point in inside]
    lower = [(x.at(point.users), y.at(point.ttft_ms.low)) for point in inside]
    name = tier.name if len(tier.name) <= _NAME else f"{tier.name[: _NAME - 1]}…"
    users, claimed = int(tier.most_users.p50), tier.guide.users if tier.guide else None
    return DrawnTier(
        name=name,
        colour=colour,
        line=path([(x.at(point.users), y.at(point.ttft_ms.p50)) for point in inside]),
        band=band(upper, lower),
        knee=(x.at(tier.most_users.p50), y.at(tier.knee.ttft_ms.p50)),
        at_once=x.at(tier.most_in_flight.p50),
        label=f"{name} holds {users} users" if users else f"{name} keeps no promise",
        label_y=label_y,
        claim=(x.at(claimed.low), round(x.at(claimed.high) - x.at(claimed.low), 1)) if claimed else None,
        claim_label=f", guide {claimed.low:g}-{claimed.high:g}" if claimed else "",
    )


def _time(ms: float) -> str:
    return f"{ms:g} ms" if ms < 1000 else f"{ms / 1000:g} s"


def _subtitle(tiers: Iterable[Tier]) -> str:
    models = dict.fromkeys(tier.model.spec.title for tier in tiers)
    classes = dict.fromkeys(tier.urgent.name for tier in tiers)
    return f"{', '.join(models)}; requests of class {', '.join(classes)}; {_pauses(tiers)}"


def _pauses(tiers: Iterable[Tier]) -> str:
    seconds = dict.fromkeys(f"{tier.plan.think_seconds:g}" for tier in tiers)
    return f"each user pauses {' or '.join(seconds)} s between requests"


def _description(tiers: Iterable[Tier]) -> str:
    """The chart's text alternative, for screen readers."""
    return "; ".join(
        f"{tier.name}: {int(tier.most_users.p50)} users"
        + (f", the guide says {tier.guide.users.low:g} to {tier.guide.users.high:g}" if tier.guide else "")
        for tier in tiers
    )
