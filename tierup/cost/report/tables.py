"""Decides how a tier's cost reads to a person: a few lines and tables, the same as text and as Markdown."""

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal

from tierup.cost.report.schema import CostReport, LineOut, PriceOut

NOT_PRICED = "not priced"


@dataclass(frozen=True, slots=True)
class Table:
    """A title, columns, and rows of as many cells."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def head(found: CostReport) -> Iterator[str]:
    """The sum, and what it leaves out."""
    sums = found.totals
    low, high = usd(sums.low_usd_per_month, 0), usd(sums.high_usd_per_month, 0)
    yield f"{found.stack}: {usd(sums.usd_per_month)} a month ({low} to {high}), {usd(sums.usd_per_hour)} an hour"
    per_gpu = (
        "" if sums.usd_per_gpu_hour is None else f"; {usd(sums.usd_per_gpu_hour, 4)} per GPU-hour in service"
    )
    yield (
        f"  capex {usd(sums.capex.usd_per_month)} a month of {usd(sums.purchase_usd)} bought, "
        f"opex {usd(sums.opex.usd_per_month)} a month{per_gpu}"
    )
    if found.server is not None and found.server.rest_usd is not None:
        said = found.server
        yield (
            f"  a server at {usd(said.price_usd, 0)} ({usd(said.low_usd, 0)} to {usd(said.high_usd, 0)}): "
            f"{said.cards} cards at {usd(said.card_usd, 0)}, the rest of it {usd(said.rest_usd, 0)}"
        )
    if found.unpriced:
        yield f"  {NOT_PRICED}, and in no sum: {', '.join(found.unpriced)} ({found.unpriced_count})"


def tables(found: CostReport) -> Iterator[Table]:
    """Lines, nodes, models, rents, prices; one without rows is left out."""
    every = (
        Table(
            "owned",
            ("component", "what", "quantity", "USD/hour", "USD/month", "range", "bought"),
            tuple(map(_line, found.lines)),
        ),
        Table(
            "each server",
            ("server", "count", "USD/hour", "USD/month", "bought"),
            tuple(
                (
                    item.role,
                    str(item.count),
                    usd(item.usd_per_hour, 4),
                    usd(item.usd_per_month),
                    usd(item.purchase_usd),
                )
                for item in found.nodes
            ),
        ),
        Table(
            "models, by the GPUs of their replicas at rest",
            ("model", "GPUs", "USD/hour", "USD/month"),
            tuple(
                (item.name, str(item.gpus), usd(item.usd_per_hour, 4), usd(item.usd_per_month))
                for item in found.models
            ),
        ),
        Table(
            "the same GPUs rented",
            ("provider", "machines", "GPUs", "USD/GPU-hour", "USD/month", "as of", "price"),
            tuple(
                (
                    item.provider if item.region is None else f"{item.provider} {item.region}",
                    str(item.machines),
                    str(item.gpus),
                    usd(item.usd_per_gpu_hour),
                    usd(item.usd_per_month),
                    item.as_of.isoformat(),
                    item.id,
                )
                for item in found.rented
            ),
        ),
        Table(
            "prices used",
            ("price", "value", "unit", "range", "as of", "confidence", "source"),
            tuple(map(price_row, found.prices)),
        ),
    )
    return (table for table in every if table.rows)


def _line(item: LineOut) -> tuple[str, ...]:
    return (
        item.component,
        item.name,
        f"{item.quantity:f} {item.unit}",
        usd(item.usd_per_hour, 4),
        usd(item.usd_per_month),
        _range(item.low_usd_per_month, item.high_usd_per_month, "$"),
        "" if item.purchase_usd is None else usd(item.purchase_usd),
    )


def price_row(item: PriceOut) -> tuple[str, ...]:
    return (
        item.id,
        NOT_PRICED if item.value is None else f"{item.value:f}",
        item.unit,
        _range(item.low, item.high, ""),
        item.as_of.isoformat() + (" (old)" if item.stale else ""),
        "quoted" if item.quoted else "" if item.value is None else item.confidence,
        item.source,
    )


def _range(low: Decimal | None, high: Decimal | None, sign: str) -> str:
    return "" if low is None or high is None or low == high else f"{sign}{low:,f}-{high:,f}"


def usd(value: Decimal | None, digits: int = 2) -> str:
    """Dollars with so many decimals; what has no price is no zero."""
    return NOT_PRICED if value is None else f"${value:,.{digits}f}"
