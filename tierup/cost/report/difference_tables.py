"""Decides how a cost difference reads to a person: a few lines and tables, the same as text and as Markdown."""

from collections.abc import Iterator
from decimal import Decimal

from tierup.cost.report.difference_schema import AmountOut, DifferenceReport, SideOut, TotalOut
from tierup.cost.report.tables import NOT_PRICED, Table, price_row, usd

_SIDES = ("was", "will be", "difference")


def verdict(found: DifferenceReport) -> str:
    """The whole in one line."""
    total = found.total
    change = total.difference.usd_per_month
    if total.difference.complete:
        what = f"{signed(change)} a month" if change else "no change of the monthly cost"
    else:
        what = (
            f"{signed(change)} a month, and what is {NOT_PRICED}"
            if change
            else f"what changes is {NOT_PRICED}"
        )
    return f"{what}: {_arrow(_month(total.past), _month(total.now))}"


def head(found: DifferenceReport) -> Iterator[str]:
    """What stands behind it, and what it leaves out; of all this there is little, whatever the plan."""
    total = found.total
    hours = _arrow(usd(total.past.usd_per_hour), usd(total.now.usd_per_hour))
    bought = _arrow(usd(total.past.purchase_usd), usd(total.now.purchase_usd))
    yield f"an hour: {hours}; bought: {bought} ({signed(total.difference.purchase_usd)})"
    yield f"servers: {_arrow(_servers(found.past), _servers(found.now))}"
    yield f"GPUs that models hold: {_arrow(_gpus(found.past), _gpus(found.now))}"
    counts = ", ".join(f"{count} {operation}" for operation, count in found.operations.items())
    yield f"resources: {counts or 'none'}"
    if found.past.unpriced_count or found.now.unpriced_count:
        count = _arrow(str(found.past.unpriced_count), str(found.now.unpriced_count))
        yield f"{NOT_PRICED}, and in no sum: {count}"


def components(found: DifferenceReport) -> Table:
    """What each component costs on both sides, and all of them."""
    rows = [(row.component, *_cells(row)) for row in found.components]
    return Table("USD a month", ("component", *_SIDES, "bought"), (*rows, ("all", *_cells(found.total))))


def details(found: DifferenceReport) -> Iterator[Table]:
    """The rest, as long as it is; a table without rows is left out."""
    changed = [row for row in found.lines if row.changed]
    every = (
        Table(
            "lines that change",
            ("component", "what", *_SIDES, "bought"),
            tuple((row.component, row.name, *_cells(row)) for row in changed),
        ),
        Table(NOT_PRICED, ("what", "side"), tuple(_unpriced(found))),
        Table(
            "prices used",
            ("price", "value", "unit", "range", "as of", "confidence", "source"),
            tuple(map(price_row, found.prices)),
        ),
    )
    return (table for table in every if table.rows)


def _unpriced(found: DifferenceReport) -> Iterator[tuple[str, str]]:
    """What is not priced on one side or both, that of both last."""
    past, now = set(found.past.unpriced), set(found.now.unpriced)
    yield from ((name, "new") for name in found.now.unpriced if name not in past)
    yield from ((name, "gone") for name in found.past.unpriced if name not in now)
    yield from ((name, "both") for name in found.now.unpriced if name in past)


def signed(value: Decimal) -> str:
    """Dollars more or less."""
    sign = "+" if value > 0 else "-" if value < 0 else ""
    return f"{sign}{usd(abs(value))}"


def _cells(row: TotalOut) -> tuple[str, ...]:
    change = row.difference
    bought = signed(change.purchase_usd) if change.purchase_usd else ""
    monthly = signed(change.usd_per_month)
    if not change.complete:
        monthly = f"{monthly} and {NOT_PRICED}" if change.usd_per_month else NOT_PRICED
    return _month(row.past), _month(row.now), monthly, bought


def _month(side: AmountOut) -> str:
    if not side.unpriced_lines:
        return usd(side.usd_per_month)
    if not side.usd_per_month:
        return NOT_PRICED
    return f"{usd(side.usd_per_month)}, {side.unpriced_lines} {NOT_PRICED}"


def _servers(side: SideOut) -> str:
    if side.server is None:
        return "none"
    spares = f" + {side.standby} {side.standby_mode} spare" if side.standby else ""
    return f"{side.in_service} x {side.server[:80]}{spares}"


def _gpus(side: SideOut) -> str:
    return str(sum(side.models.values()))


def _arrow(past: str, now: str) -> str:
    return past if past == now else f"{past} -> {now}"
