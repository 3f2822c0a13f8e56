"""When owning is cheaper than renting: after how many months of rent."""

from collections.abc import Iterable
from decimal import Decimal

from tierup.catalog.price import HOURS_PER_MONTH
from tierup.cost.analysis.tco import Bought

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
