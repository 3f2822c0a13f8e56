"""The chart of the cost of tokens by utilisation, with the break-even of owning."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import cycle

from tierup.cost import Outlook, TokenCost
from tierup.cost.report.figures import TOKEN, CurrencyOut, rounded
from tierup.cost.report.outlook import from_utilisation, having, percent
from tierup.report.charts.axes import COLOURS, LinearAxis, LogAxis, Tick, labelled
from tierup.report.charts.lines import band, path

LEFT, RIGHT, TOP, BOTTOM, HEIGHT = 160, 820, 60, 360, 440  # pixels
RENTED, API = "6 4", "2 3"  # dashes
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
    rented: str | None
    api: float | None
    break_even: float | None


@dataclass(frozen=True)
class LineLabel:
    """What a dashed or dotted line is, in its colour and dashes."""

    text: str
    colour: str
    dashes: str


@dataclass(frozen=True)
class Plot:
    """The chart, without curves if no cost is known; `description` is its text alternative."""

    curves: list[Curve]
    labels: list[LineLabel]
    x_ticks: list[Tick]
    y_ticks: list[Tick]
    description: str


def plot(tiers: Sequence[Outlook], money: CurrencyOut) -> Plot:
    """What a million tokens of both kinds cost, as the model's requests have them, on a logarithmic axis."""
    models = [
        ModelCost(tier, name, cost)
        for tier in tiers
        for name, cost in tier.tokens.items()
        if cost is not None
    ]
    if not models:
        return Plot([], [], [], [], "unknown: no capacity figure, or nothing is priced")
    y = _axis(models)
    hues = cycle(COLOURS)
    curves = [_curve(item, next(hues), y, money) for item in models]
    return Plot(
        curves=curves,
        labels=[
            label
            for item, curve in zip(models, curves, strict=True)
            for label in _labels(item, curve.colour, money)
        ],
        x_ticks=[(_x(use), percent(use)) for use in _USES if use * 100 % 20 == 0],
        y_ticks=_y_ticks(y, money),
        description="; ".join(curve.label for curve in curves),
    )


def _y_ticks(usd: LogAxis, money: CurrencyOut) -> list[Tick]:
    """Round values of the currency; on a logarithmic axis a rate moves all of them alike."""
    rate = float(money.per_usd)
    axis = LogAxis(usd.low * rate, usd.high * rate, usd.start, usd.end)
    return labelled(axis, lambda amount: money.write(Decimal(str(amount)), _decimals(amount)))


def _decimals(amount: float) -> int:
    """Of a tick: as many as it needs, two for most."""
    return 0 if amount >= 10 else 2 if amount >= 0.01 else 3


def _labels(item: ModelCost, colour: str, money: CurrencyOut) -> Iterator[LineLabel]:
    """What stands beside the curve of a model: the same on the cheapest rent, and an API."""
    part, asked = _rent_part(item.tier), _api(item.tier, item.tokens)
    if part is not None:
        usd = item.tokens.mixed(item.tokens.utilisation).value * part
        text = f"{item.tier.stack} on the cheapest rent: {money.text(usd, 3)} at {percent(item.tokens.utilisation)}"
        yield LineLabel(text, colour, RENTED)
    if asked is not None:
        yield LineLabel(f"{item.tier.stack}'s tokens from the API: {money.text(asked, 3)}", colour, API)


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


def _curve(item: ModelCost, colour: str, y: LogAxis, money: CurrencyOut) -> Curve:
    tier, cost = item.tier, item.tokens
    spans = [(_x(use), cost.mixed(use)) for use in _USES]
    upper = [(x, y.at(float(span.high))) for x, span in spans]
    lower = [(x, y.at(float(span.low))) for x, span in spans]
    part, api, against = _rent_part(tier), _api(tier, cost), tier.against_api.get(item.name)
    break_even = None if against is None else against.utilisation
    here = cost.mixed(cost.utilisation).value
    name = f"{tier.stack}, {item.name}"
    usd = f"{rounded(here, TOKEN):f}"
    label = f"{name}: {money.text(here, 3)} per million at {percent(cost.utilisation)}"
    if tier.api is not None:
        label += f"; {having(tier.tenure)} is cheaper than the API {from_utilisation(break_even)}"
    return Curve(
        name=name,
        colour=colour,
        line=path([(x, y.at(float(span.value))) for x, span in spans]),
        band=band(upper, lower),
        dot=(_x(cost.utilisation), y.at(float(here))),
        usd=usd,
        label=label,
        rented=None if part is None else path([(x, y.at(float(span.value * part))) for x, span in spans]),
        api=None if api is None else y.at(float(api)),
        break_even=None if break_even is None else _x(break_even),
    )


def _api(tier: Outlook, cost: TokenCost) -> Decimal | None:
    """An API's price for a million of the same tokens, USD."""
    return None if tier.api is None else tier.api.per_million(cost)


def _rent_part(tier: Outlook) -> Decimal | None:
    """The cheapest rent, of machines that stay, divided by the cost of owning."""
    rents = (item.rent for item in tier.rented if not item.rent.offer.spot)
    rent = next((item.usd_per_hour for item in rents), None)
    return None if rent is None else rent / tier.cost.usd_per_hour


def _x(use: Decimal) -> float:
    return _X.at(float(use))
