"""Bills and prices in code, for worked examples: tests say only what they change."""

import dataclasses
import datetime
from decimal import Decimal
from typing import Any

from tierup.catalog.price import Price
from tierup.catalog.prices import Prices, load_prices
from tierup.cost.types import Bill, Line, TierCost
from tierup.stack.sections import StandbyMode

TODAY = datetime.date(2026, 11, 25)
PREMIUM = "premium-4x-h100-80g-sxm"


def floats(value: Any) -> list[float]:
    """Every float in parsed JSON; money must not be one."""
    if isinstance(value, dict):
        return [number for item in value.values() for number in floats(item)]
    if isinstance(value, list):
        return [number for item in value for number in floats(item)]
    return [value] if isinstance(value, float) else []


def usd(text: str) -> Decimal:
    return Decimal(text)


def quote(name: str, value: str, as_of: datetime.date = TODAY) -> Price:
    """A stack's own price."""
    unit = load_prices().unit(name)
    return Price(name, Decimal(value), unit, "a quote", as_of, "high", quoted=True)


def bill(server: str = PREMIUM, **changes: Any) -> Bill:
    """One server in service, nothing else; `quotes` as text by id."""
    quotes = {name: quote(name, value) for name, value in changes.pop("quotes", {}).items()}
    start = Bill(server, in_service=1, standby=0, standby_mode=StandbyMode.NONE, quotes=quotes)
    return dataclasses.replace(start, **changes)


def eight_gpus() -> Prices:
    """The catalogue with a copy of the premium server that has eight GPUs."""
    known = load_prices()
    four = known.servers[PREMIUM]
    eight = four.model_copy(update={"gpus": four.gpus.model_copy(update={"value": 8})})
    return dataclasses.replace(known, servers={PREMIUM: eight})


def line(cost: TierCost, name: str) -> Line:
    (match,) = [item for item in cost.lines if item.name == name]
    return match
