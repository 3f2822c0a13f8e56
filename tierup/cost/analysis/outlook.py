"""A tier's cost beyond its lines: tokens, three years, rent, an API's price, what-ifs."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal

from tierup.catalog.prices import Prices
from tierup.cost.analysis.api import AgainstApi, ApiPrice
from tierup.cost.analysis.break_even import months_until_owned
from tierup.cost.analysis.sensitivity import Case, sensitivity
from tierup.cost.analysis.tco import THREE_YEARS, TotalCost, purchases, running, total_cost
from tierup.cost.analysis.tokens import Pair, TokenCost, token_costs
from tierup.cost.pricing import price
from tierup.cost.rent import Rent, rented
from tierup.cost.types import Bill, TierCost
from tierup.plan.model import Plan
from tierup.stack.sections import Tenure


@dataclass(frozen=True, slots=True)
class RentBreakEven:
    """An offer that has a price, and the months until owning is cheaper than renting it; None: never.

    `tokens` by model: what a million cost at the model's utilisation if this rent were all that is paid; None: unknown.
    """

    rent: Rent
    months_until_owning_is_cheaper: Decimal | None
    tokens: Mapping[str, Pair | None]

    @property
    def id(self) -> str:
        """The price of the offer."""
        return self.rent.price.id


@dataclass(frozen=True, slots=True)
class Outlook:
    """One tier, and the same hardware `owned` (equal to `cost` unless the tier is rented).

    `tokens` by model, None: unknown. Without a known life there is no `rented`, and no `three_years` of what is owned.
    `against_api` compares each model whose cost is known with `api`; it is empty without one.
    """

    stack: str
    tenure: Tenure
    cost: TierCost
    owned: TierCost
    tokens: dict[str, TokenCost | None]
    three_years: TotalCost | None
    rented: tuple[RentBreakEven, ...]
    api: ApiPrice | None
    against_api: dict[str, AgainstApi]
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
        rented=() if life is None else _rents(owned, rented(bill, prices), life, cost, tokens),
        api=api,
        against_api={} if api is None else {model: AgainstApi.of(item, api) for model, item in known.items()},
        sensitivity=sensitivity(
            plan,
            cost,
            lambda changed: price(replace(bill, quotes={**bill.quotes, **changed}), prices),
            utilisation,
        ),
    )


def _rents(
    owned: TierCost,
    offers: Iterable[Rent],
    life: Decimal,
    cost: TierCost,
    tokens: Mapping[str, TokenCost | None],
) -> tuple[RentBreakEven, ...]:
    """The cheapest first. `tokens` are those of `cost`, of which each model has its part of the rent too."""
    bought, run = purchases(owned, life), running(owned)
    found: list[RentBreakEven] = []
    for rent in offers:
        usd = rent.usd_per_hour
        if usd is not None:
            paid = {
                name: None if item is None else item.paying(cost.usd_per_hour, usd)
                for name, item in tokens.items()
            }
            found.append(RentBreakEven(rent, months_until_owned(bought, run, usd), paid))
    return tuple(found)
