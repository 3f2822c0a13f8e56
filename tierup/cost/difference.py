"""Decides what a change costs: every component and line before, after, and the difference of the two."""

from collections.abc import Iterable, Sequence
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
    """What costs on both sides: one line, a component (`name` is None), or all. The difference is now - past.

    `changed`: in any way, its quantity too. `complete`: nothing that changes is unpriced.
    """

    component: str
    name: str | None
    past: Amount
    now: Amount
    changed: bool
    complete: bool

    @property
    def usd_per_hour(self) -> Decimal:
        return self.now.usd_per_hour - self.past.usd_per_hour

    @property
    def usd_per_month(self) -> Decimal:
        return self.now.usd_per_month - self.past.usd_per_month

    @property
    def purchase_usd(self) -> Decimal:
        return self.now.purchase_usd - self.past.purchase_usd


@dataclass(frozen=True, slots=True)
class Difference:
    """Two costs of one stack. The sums of `components`, and of `lines`, are `total`."""

    past: TierCost
    now: TierCost
    total: Row
    components: tuple[Row, ...]
    lines: tuple[Row, ...]


def difference(past: TierCost, now: TierCost) -> Difference:
    """What changes from `past` to `now`."""
    longer, shorter = sorted((now.lines, past.lines), key=len, reverse=True)
    names = dict.fromkeys((line.component, line.name) for line in (*longer, *shorter))
    before, after = _by_name(past.lines), _by_name(now.lines)
    lines = [_row(*key, before.get(key, ()), after.get(key, ())) for key in names]
    components = dict.fromkeys(row.component for row in lines)
    parts = [_sum(name, [row for row in lines if row.component == name]) for name in components]
    return Difference(past, now, _sum("all", lines), tuple(parts), tuple(lines))


def _by_name(lines: Iterable[Line]) -> dict[tuple[str, str], tuple[Line, ...]]:
    found: dict[tuple[str, str], tuple[Line, ...]] = {}
    for line in lines:
        key = (line.component, line.name)
        found[key] = (*found.get(key, ()), line)
    return found


def _row(component: str, name: str, past: tuple[Line, ...], now: tuple[Line, ...]) -> Row:
    before, after, changed = _amount(past), _amount(now), past != now
    complete = not (changed and (before.unpriced or after.unpriced))
    return Row(component, name, before, after, changed, complete)


def _sum(component: str, rows: Sequence[Row]) -> Row:
    past, now = _total(row.past for row in rows), _total(row.now for row in rows)
    changed, complete = any(row.changed for row in rows), all(row.complete for row in rows)
    return Row(component, None, past, now, changed, complete)


def _amount(lines: Iterable[Line]) -> Amount:
    return _total(
        Amount(unpriced=1)
        if line.usd_per_hour is None
        else Amount(line.usd_per_hour, line.purchase_usd if line.purchase_usd is not None else Decimal(0))
        for line in lines
    )


def _total(amounts: Iterable[Amount]) -> Amount:
    found = tuple(amounts)
    return Amount(
        sum((item.usd_per_hour for item in found), Decimal(0)),
        sum((item.purchase_usd for item in found), Decimal(0)),
        sum(item.unpriced for item in found),
    )
