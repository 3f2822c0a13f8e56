"""A tier's cost beyond its lines: tokens, three years, rent, an API's price, what-ifs."""

from dataclasses import dataclass, replace
from decimal import Decimal

from tierup.catalog.prices import Prices
from tierup.cost.analysis.break_even import months_until_owned, utilisation_against
from tierup.cost.analysis.sensitivity import Case, sensitivity
from tierup.cost.analysis.tco import THREE_YEARS, TotalCost, purchases, running, total_cost
from tierup.cost.analysis.tokens import TokenCost, token_costs
from tierup.cost.pricing import price
from tierup.cost.rent import Rent, rented
from tierup.cost.types import Bill, TierCost
from tierup.plan.model import Plan
from tierup.stack.sections import Tenure


@dataclass(frozen=True, slots=True)
class ApiPrice:
    """What an API asks: USD per million tokens of prompts and of answers."""

    usd_in: Decimal
    usd_out: Decimal


@dataclass(frozen=True, slots=True)
class RentBreakEven:
    """An offer that has a price, and the months until owning is cheaper than renting it; None: never."""

    rent: Rent
    months_until_owning_is_cheaper: Decimal | None

    @property
    def id(self) -> str:
        """The price of the offer."""
        return self.rent.price.id


@dataclass(frozen=True, slots=True)
class Outlook:
    """One tier, and the same hardware `owned` (equal to `cost` unless the tier is rented).

    `tokens` by model, None: unknown. Without a known life there is no `rented`, and no `three_years` of what is owned.
    `break_even` is the utilisation by model from which owning costs no more than `api`; None: not even at full use.
    """

    stack: str
    tenure: Tenure
    cost: TierCost
    owned: TierCost
    tokens: dict[str, TokenCost | None]
    three_years: TotalCost | None
    rented: tuple[RentBreakEven, ...]
    api: ApiPrice | None
    break_even: dict[str, Decimal | None]
    sensitivity: tuple[Case, ...]


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
    prices = prices.with_own(bill.own)
    cost = price(bill, prices)
    tokens = token_costs(plan, cost, utilisation)
    owned = cost if bill.rental is None else price(replace(bill, rental=None), prices)
    life = owned.prices["life"].value if "life" in owned.prices else None
    lasts = THREE_YEARS if bill.rental is not None else life  # nothing rented wears out
    known = {model: item for model, item in tokens.items() if item is not None}
    return Outlook(
        stack=plan.stack,
        tenure=plan.nodes.tenure,
        cost=cost,
        owned=owned,
        tokens=tokens,
        three_years=None if lasts is None else total_cost(cost, lasts),
        rented=() if life is None else _rents(owned, bill, prices, life),
        api=api,
        break_even={}
        if api is None
        else {model: utilisation_against(item, api.usd_in, api.usd_out) for model, item in known.items()},
        sensitivity=sensitivity(
            plan,
            cost,
            lambda changed: price(replace(bill, quotes={**bill.quotes, **changed}), prices),
            utilisation,
        ),
    )


def _rents(owned: TierCost, bill: Bill, prices: Prices, life: Decimal) -> tuple[RentBreakEven, ...]:
    """The cheapest first."""
    bought, run = purchases(owned, life), running(owned)
    return tuple(
        RentBreakEven(rent, months_until_owned(bought, run, rent.usd_per_hour))
        for rent in rented(bill, prices)
        if rent.usd_per_hour is not None
    )
