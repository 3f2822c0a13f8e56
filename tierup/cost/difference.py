"""Decides what a change costs: every component and line before, after, and the difference of the two."""

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

from tierup.cost.types import HOURS_PER_MONTH, Line, TierCost


@dataclass(frozen=True, slots=True)
class Amount:
    """Costs, USD: an hour, and what is paid at once. `unpriced` lines are counted and not in the sums."""

    usd_per_hour: Decimal = Decimal(0)
    purchase_usd: Decimal = Decimal(0)
    unpriced: int = 0

    @property
    def usd_per_month(self) -> Decimal:
        return self.usd_per_hour * HOURS_PER_MONTH


@dataclass(frozen=True, slots=True)
class Row:
    """One thing that costs, on both sides; `name` is None for a whole component. The difference is now - past."""

    component: str
    name: str | None
    past: Amount
    now: Amount

    @property
    def usd_per_hour(self) -> Decimal:
        return self.now.usd_per_hour - self.past.usd_per_hour

    @property
    def usd_per_month(self) -> Decimal:
        return self.now.usd_per_month - self.past.usd_per_month

    @property
    def purchase_usd(self) -> Decimal:
        return self.now.purchase_usd - self.past.purchase_usd

    @property
    def changed(self) -> bool:
        return self.past != self.now


@dataclass(frozen=True, slots=True)
class Difference:
    """Two costs of one stack. The sums of `components`, and of `lines`, are `total`."""

    past: TierCost
    now: TierCost
    total: Row
    components: tuple[Row, ...]
    lines: tuple[Row, ...]


def difference(past: TierCost, now: TierCost) -> Difference:
    """What changes from `past` to `now`; components and lines in the order in which `now` has them."""
    everything = (*now.lines, *past.lines)
    components = dict.fromkeys(line.component for line in everything)
    names = dict.fromkeys((line.component, line.name) for line in everything)
    return Difference(
        past,
        now,
        Row("total", None, _amount(past.lines), _amount(now.lines)),
        tuple(Row(c, None, *_both(past, now, c, None)) for c in components),
        tuple(Row(c, name, *_both(past, now, c, name)) for c, name in names),
    )


def _both(past: TierCost, now: TierCost, component: str, name: str | None) -> tuple[Amount, Amount]:
    def side(cost: TierCost) -> Amount:
        return _amount(
            line for line in cost.lines if line.component == component and name in (None, line.name)
        )

    return side(past), side(now)


def _amount(lines: Iterable[Line]) -> Amount:
    found = tuple(lines)
    hourly = (line.usd_per_hour for line in found if line.usd_per_hour is not None)
    bought = (line.purchase_usd for line in found if line.purchase_usd is not None)
    zero = Decimal(0)
    return Amount(sum(hourly, zero), sum(bought, zero), sum(line.usd_per_hour is None for line in found))
