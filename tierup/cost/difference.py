"""The cost of a change: every component and line before, after, and the difference of the two."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal

from tierup.cost.types import Amount, Line, TierCost


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
    named: dict[tuple[str, str], tuple[Line, ...]] = {}
    for line in lines:
        key = (line.component, line.name)
        named[key] = (*named.get(key, ()), line)
    return named


def _row(component: str, name: str, past: tuple[Line, ...], now: tuple[Line, ...]) -> Row:
    before, after, changed = Amount.of(past), Amount.of(now), past != now
    complete = not (changed and (before.unpriced_lines or after.unpriced_lines))
    return Row(component, name, before, after, changed, complete)


def _sum(component: str, rows: Sequence[Row]) -> Row:
    past, now = Amount.total(row.past for row in rows), Amount.total(row.now for row in rows)
    changed, complete = any(row.changed for row in rows), all(row.complete for row in rows)
    return Row(component, None, past, now, changed, complete)
