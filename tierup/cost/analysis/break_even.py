"""When owning is cheaper: after how many months of rent, and from which utilisation on against an API."""

from collections.abc import Iterable
from decimal import Decimal

from tierup.cost.analysis.tco import Bought
from tierup.cost.analysis.tokens import MILLION, SECONDS_PER_HOUR, TokenCost
from tierup.cost.types import HOURS_PER_MONTH

LONGEST = Decimal(120)  # months; nobody plans GPUs beyond ten years


def months_until_owned(bought: Iterable[Bought], running_usd: Decimal, rent_usd: Decimal) -> Decimal | None:
    """Months until what was paid for owning is no more than what rent would have been; None: not in ten years.

    Running what is owned and rent are per hour. Paid is paid: what is owned counts nothing until it is replaced,
    when it brings its residual value.
    """
    items = tuple(bought)
    paid = sum((item.usd for item in items), Decimal(0))
    saved = (rent_usd - running_usd) * HOURS_PER_MONTH  # per month of owning
    if paid <= 0:
        return Decimal(0) if saved >= 0 else None
    if saved <= 0:
        return None
    for month, usd in _replacements(items):
        if paid / saved <= month:
            break
        paid += usd
    months = paid / saved
    return months if months <= LONGEST else None


def _replacements(items: tuple[Bought, ...]) -> list[tuple[Decimal, Decimal]]:
    """When something is bought again, and for how much, in order."""
    return sorted(
        (item.life * count, item.again)
        for item in items
        for count in range(1, item.replacements(LONGEST) + 1)
    )


def utilisation_against(cost: TokenCost, usd_in: Decimal, usd_out: Decimal) -> Decimal | None:
    """The utilisation (0..1] from which owning costs no more than an API; None: not even at full use.

    The prices are USD per million tokens. The API takes nothing for an hour without requests, owning does.
    """
    tokens_in, tokens_out = cost.full_tokens_in_per_second.value, cost.full_tokens_out_per_second.value
    full_hour = (tokens_in * usd_in + tokens_out * usd_out) * SECONDS_PER_HOUR / MILLION
    if full_hour < cost.usd_per_hour.value or not full_hour:
        return None
    return cost.usd_per_hour.value / full_hour
