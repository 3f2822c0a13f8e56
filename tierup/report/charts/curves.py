"""The chart of the cost of tokens by utilisation, with the break-even of owning."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import cycle

from tierup.cost import Outlook
from tierup.cost.analysis.tokens import TokenCost
from tierup.cost.report.figures import TOKEN, rounded
from tierup.cost.report.outlook import from_utilisation, percent
from tierup.report.charts.axes import COLOURS, LinearAxis, LogAxis, Tick, labelled
from tierup.report.charts.lines import band, path

LEFT, RIGHT, TOP, BOTTOM, ROW = 110, 760, 44, 344, 20  # pixels
_USES = tuple(Decimal(part) / 100 for part in range(4, 101, 2))
_X = LinearAxis(1.0, LEFT, RIGHT)  # of utilisation


@dataclass(frozen=True, slots=True)
class ModelCost:
    """One model of one tier, whose cost of tokens is known."""

    tier: Outlook
    name: str
    tokens: TokenCost


@dataclass(frozen=True)
class Curve:
    """One model of one tier; paths are SVG's.

    `dot` is at the expected utilisation. `rented` is the curve of the cheapest offer of the same GPUs, `api` the height
    of an API's price for the same tokens, and `break_even` the utilisation at which owning and the API cost the same;
    each is None if unknown.
    """

    name: str
    colour: str
    line: str
    band: str
    dot: tuple[float, float]
    usd: str
    label: str
    label_y: int
    rented: str | None
    api: float | None
    break_even: float | None


@dataclass(frozen=True)
class Plot:
    """The chart, without curves if no cost is known; `description` is its text alternative."""

    height: int
    curves: list[Curve]
    x_ticks: list[Tick]
    y_ticks: list[Tick]
    description: str


def plot(tiers: Sequence[Outlook]) -> Plot:
    """USD per million tokens, prompt and answer in the ratio of the model's requests, on a logarithmic axis."""
    models = [
        ModelCost(tier, name, cost)
        for tier in tiers
        for name, cost in tier.tokens.items()
        if cost is not None
    ]
    if not models:
        return Plot(BOTTOM, [], [], [], "unknown: no capacity figure, or nothing is priced")
    y = _axis(models)
    hues = cycle(COLOURS)
    curves = [_curve(item, index, next(hues), y) for index, item in enumerate(models)]
    return Plot(
        height=BOTTOM + 60 + ROW * len(curves),
        curves=curves,
        x_ticks=[(_x(use), percent(use)) for use in _USES if use * 100 % 20 == 0],
        y_ticks=labelled(y),
        description="; ".join(curve.label for curve in curves),
    )


def _axis(models: Sequence[ModelCost]) -> LogAxis:
    """The range of all curves, rents and API prices."""
    apis = [float(usd) for item in models if (usd := _api(item.tier, item.tokens)) is not None]
    rented = [
        float(item.tokens.mixed(use).value * part)
        for item in models
        if (part := _rent_part(item.tier)) is not None
        for use in (_USES[0], _USES[-1])
    ]
    low = [float(item.tokens.mixed(_USES[-1]).low) for item in models]
    high = [float(item.tokens.mixed(_USES[0]).high) for item in models]
    return LogAxis(min(low + apis + rented) / 1.1, max(high + apis + rented) * 1.1, BOTTOM, TOP)


def _curve(item: ModelCost, index: int, colour: str, y: LogAxis) -> Curve:
    tier, cost = item.tier, item.tokens
    spans = [(_x(use), cost.mixed(use)) for use in _USES]
    upper = [(x, y.at(float(span.high))) for x, span in spans]
    lower = [(x, y.at(float(span.low))) for x, span in spans]
    part, api, break_even = _rent_part(tier), _api(tier, cost), tier.break_even.get(item.name)
    here = cost.mixed(cost.utilisation).value
    name = f"{tier.stack}, {item.name}"
    usd = f"{rounded(here, TOKEN):f}"
    label = f"{name}: {usd} USD per million at {percent(cost.utilisation)}"
    if tier.api is not None:
        label += f"; owning is cheaper than the API {from_utilisation(break_even)}"
    return Curve(
        name=name,
        colour=colour,
        line=path([(x, y.at(float(span.value))) for x, span in spans]),
        band=band(upper, lower),
        dot=(_x(cost.utilisation), y.at(float(here))),
        usd=usd,
        label=label,
        label_y=BOTTOM + 60 + ROW * index,
        rented=None if part is None else path([(x, y.at(float(span.value * part))) for x, span in spans]),
        api=None if api is None else y.at(float(api)),
        break_even=None if break_even is None else _x(break_even),
    )


def _api(tier: Outlook, cost: TokenCost) -> Decimal | None:
    """An API's price for a million of the same tokens, USD."""
    if tier.api is None:
        return None
    prompts, answers = cost.full_tokens_in_per_second.value, cost.full_tokens_out_per_second.value
    return (prompts * tier.api.usd_in + answers * tier.api.usd_out) / (prompts + answers)


def _rent_part(tier: Outlook) -> Decimal | None:
    """The cheapest rent divided by the cost of owning."""
    rent = tier.rented[0].rent.usd_per_hour if tier.rented else None
    return None if rent is None else rent / tier.cost.usd_per_hour


def _x(use: Decimal) -> float:
    return _X.at(float(use))
