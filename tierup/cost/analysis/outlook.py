"""Decides what is said of a tier's cost beyond its lines: tokens, three years, rent, an API's price, what-ifs."""

from dataclasses import dataclass, replace
from decimal import Decimal

from tierup.catalog.prices import Prices
from tierup.cost.analysis.break_even import months_until_owned, utilisation_against
from tierup.cost.analysis.rent import Rent, rented
from tierup.cost.analysis.sensitivity import Case, sensitivity
from tierup.cost.analysis.tco import Total, purchases, running, total_cost
from tierup.cost.analysis.tokens import TokenCost, token_costs
from tierup.cost.price import price
from tierup.cost.types import Bill, TierCost
from tierup.plan.model import Plan


@dataclass(frozen=True, slots=True)
class ApiPrice:
    """What an API asks: USD per million tokens of prompts and of answers."""

    usd_in: Decimal
    usd_out: Decimal


@dataclass(frozen=True, slots=True)
class Instead:
    """An offer that has a price, and the months until owning is cheaper than renting it; None: never."""

    rent: Rent
    months: Decimal | None


@dataclass(frozen=True, slots=True)
class Outlook:
    """One tier. `tokens` by model, None: unknown. `total` None and no `rents`: how long things last is unknown.

    `even` is the utilisation by model from which owning costs no more than `api`; None: not even at full use.
    """

    stack: str
    cost: TierCost
    tokens: dict[str, TokenCost | None]
    total: Total | None
    rents: tuple[Instead, ...]
    api: ApiPrice | None
    even: dict[str, Decimal | None]
    cases: tuple[Case, ...]


def outlook(
    plan: Plan,
    bill: Bill,
    prices: Prices,
    utilisation: Decimal | None = None,
    api: ApiPrice | None = None,
) -> Outlook:
    """Everything, from the catalogue's prices and the bill's own quotes.

    Raises:
        ValueError: if `utilisation` is not above 0 and at most 1.
    """
    cost = price(bill, prices)
    tokens = token_costs(plan, cost, utilisation)
    life = cost.prices["life"].value if "life" in cost.prices else None
    known = {model: found for model, found in tokens.items() if found is not None}
    return Outlook(
        stack=plan.stack,
        cost=cost,
        tokens=tokens,
        total=None if life is None else total_cost(cost, life),
        rents=() if life is None else _rents(cost, bill, prices, life),
        api=api,
        even={}
        if api is None
        else {model: utilisation_against(found, api.usd_in, api.usd_out) for model, found in known.items()},
        cases=sensitivity(
            plan,
            cost,
            lambda changed: price(replace(bill, quotes={**bill.quotes, **changed}), prices),
            utilisation,
        ),
    )


def _rents(cost: TierCost, bill: Bill, prices: Prices, life: Decimal) -> tuple[Instead, ...]:
    """The cheapest first."""
    bought, run = purchases(cost, life), running(cost)
    return tuple(
        Instead(rent, months_until_owned(bought, run, rent.usd_per_hour))
        for rent in rented(bill, prices)
        if rent.usd_per_hour is not None
    )
