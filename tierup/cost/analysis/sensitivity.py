"""How much a tier's cost moves when its use, its electricity or its life is another than was taken."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Literal

from tierup.catalog.price import Price
from tierup.cost.analysis.tokens import Pair, token_costs
from tierup.cost.types import TierCost
from tierup.plan.model import Plan

Changed = Literal["utilisation", "electricity", "life"]  # the last two are ids of prices
_HALF, _DOUBLE = Decimal("0.5"), Decimal(2)
_USES = tuple(Decimal(part) / 100 for part in (25, 50, 75, 100))
Reprice = Callable[[Mapping[str, Price]], TierCost]


@dataclass(frozen=True, slots=True)
class Case:
    """The tier with one thing changed: what, to what, and USD per hour, per million tokens by model (None: unknown)."""

    what: Changed
    value: Decimal
    unit: str
    usd_per_hour: Decimal
    tokens: Mapping[str, Pair | None]


def sensitivity(
    plan: Plan, cost: TierCost, reprice: Reprice, utilisation: Decimal | None = None
) -> tuple[Case, ...]:
    """`reprice` gives the cost with some prices changed; `utilisation` as the user stated it, else the plan's."""
    return (
        *(Case("utilisation", use, "ratio", cost.usd_per_hour, _tokens(plan, cost, use)) for use in _USES),
        *_priced(plan, cost, reprice, "electricity", utilisation),
        *_priced(plan, cost, reprice, "life", utilisation),
    )


def _priced(
    plan: Plan, cost: TierCost, reprice: Reprice, name: Changed, utilisation: Decimal | None
) -> Iterator[Case]:
    """A price at its ends: those of its range, or half and double where it has none."""
    item = cost.prices.get(name)
    if item is None or item.value is None:
        return
    low = item.low if item.low is not None else item.value * _HALF
    high = item.high if item.high is not None else item.value * _DOUBLE
    for value in dict.fromkeys((low, item.value, high)):
        changed = reprice({name: replace(item, value=value, low=None, high=None)})
        tokens = _tokens(plan, changed, utilisation)
        yield Case(name, value, item.unit, changed.usd_per_hour, tokens)


def _tokens(plan: Plan, cost: TierCost, utilisation: Decimal | None) -> dict[str, Pair | None]:
    costs = token_costs(plan, cost, utilisation)
    return {model: None if item is None else item.allocation_based for model, item in costs.items()}
