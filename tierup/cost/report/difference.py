"""The cost difference of a plan as JSON (docs/cost-difference.schema.json comes from it), as lines and as tables."""

import datetime
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Annotated, Any, Literal, Self

from pydantic import Field

from tierup.catalog.price import HOURS_PER_MONTH
from tierup.cost.difference import Row
from tierup.cost.plan_cost import PlanCost
from tierup.cost.report.figures import (
    NOT_PRICED,
    Cents,
    CurrencyOut,
    FindingOut,
    Money,
    Out,
    PriceOut,
    Redacted,
    Table,
    price_table,
)
from tierup.cost.types import Bill, TierCost
from tierup.findings.model import Finding, Severity
from tierup.plan.model import DOLLARS, CurrencyPlan
from tierup.stack.sections import StandbyMode


class AmountOut(Money):
    """One side. What has no price is counted and in no sum."""

    purchase_usd: Annotated[Cents, Field(description="What is paid at once")]
    unpriced_lines: int


class ChangeOut(Money):
    """What is now, less what was: of the rounded amounts."""

    purchase_usd: Decimal
    complete: Annotated[bool, Field(description="Nothing that changes is unpriced: this is all of it")]

    @classmethod
    def between(cls, past: AmountOut, now: AmountOut, complete: bool) -> "ChangeOut":
        """Now less past."""
        return cls(
            usd_per_hour=now.usd_per_hour - past.usd_per_hour,
            usd_per_month=now.usd_per_month - past.usd_per_month,
            purchase_usd=now.purchase_usd - past.purchase_usd,
            complete=complete,
        )


class TotalOut(Out):
    """All lines together."""

    past: AmountOut
    now: AmountOut
    changed: Annotated[bool, Field(description="In any way, its quantity too")]
    difference: ChangeOut

    @classmethod
    def of(cls, row: Row, **names: Any) -> Self:
        """Both sides of a row and their difference; `names` are the fields that name the row."""
        past, now = AmountOut.model_validate(row.past), AmountOut.model_validate(row.now)
        change = ChangeOut.between(past, now, row.complete)
        return cls(past=past, now=now, changed=row.changed, difference=change, **names)


class ComponentRow(TotalOut):
    """The lines of one component together."""

    component: str


class LineRow(ComponentRow):
    """One thing that costs, and what of it changes."""

    name: Redacted


class SideOut(Out):
    """What one side of the plan holds."""

    server: Redacted | None
    in_service: int
    standby: int
    standby_mode: StandbyMode
    load_balancers: int
    models: Annotated[
        dict[Redacted, int], Field(description="GPUs that the replicas at rest of a model hold")
    ]
    unpriced_count: int
    unpriced: Annotated[list[Redacted], Field(description="Price ids without a value, and unknown resources")]

    @classmethod
    def of(cls, bill: Bill, cost: TierCost) -> "SideOut":
        """What the bill asks for, and what of it the cost leaves out."""
        return cls(
            server=bill.server,
            in_service=bill.in_service,
            standby=bill.standby,
            standby_mode=bill.standby_mode,
            load_balancers=bill.load_balancers,
            models=bill.models,
            unpriced_count=len(cost.unpriced),
            unpriced=list(cost.unpriced),
        )


class DifferenceReport(Out):
    """What a Pulumi plan changes in a stack's cost, owned. Keys may be added; none changes its meaning."""

    stack: str
    currency: Annotated[Literal["USD"], Field(description="Of every figure here")] = "USD"
    shown: Annotated[CurrencyOut, Field(description="In which people are shown the figures")]
    hours_per_month: int = int(HOURS_PER_MONTH)
    as_of: Annotated[datetime.date, Field(description="The day against which prices are called stale")]
    ok: Annotated[bool, Field(description="No budget is exceeded")]
    operations: Annotated[dict[str, int], Field(description="Pulumi's word, and how many resources")]
    past: SideOut
    now: SideOut
    total: TotalOut
    components: list[ComponentRow]
    lines: list[LineRow]
    prices: Annotated[list[PriceOut], Field(description="Of both sides; one that differs is there twice")]
    findings: list[FindingOut]

    @classmethod
    def of(
        cls,
        stack: str,
        planned: PlanCost,
        today: datetime.date,
        findings: Iterable[Finding],
        currency: CurrencyPlan = DOLLARS,
    ) -> "DifferenceReport":
        """All figures of a plan, rounded; `today` is the day against which prices are called stale."""
        cost, every = planned.cost, tuple(findings)
        used = dict.fromkeys([*cost.now.prices.values(), *cost.past.prices.values()])
        return cls(
            stack=stack,
            shown=CurrencyOut.of(currency),
            as_of=today,
            ok=all(item.severity is not Severity.ERROR for item in every),
            operations=dict(sorted(planned.operations.items())),
            past=SideOut.of(planned.past, cost.past),
            now=SideOut.of(planned.now, cost.now),
            total=TotalOut.of(_with_unknown(cost.total, planned.unknown)),
            components=[ComponentRow.of(row, component=row.component) for row in cost.components],
            lines=[LineRow.of(row, component=row.component, name=row.name) for row in cost.lines],
            prices=[PriceOut.of(item, planned.prices, today) for item in used],
            findings=[FindingOut.of(item) for item in every],
        )


def _with_unknown(total: Row, unknown: frozenset[str]) -> Row:
    """The total, which is not all of the difference where resources change that cannot be priced."""
    changed, complete = total.changed or bool(unknown), total.complete and not unknown
    return replace(total, changed=changed, complete=complete)


def verdict(report: DifferenceReport) -> str:
    """The change of the monthly cost in one line."""
    total, signed = report.total, report.shown.signed
    change = total.difference.usd_per_month
    if total.difference.complete:
        what = f"{signed(change)} a month" if change else "no change of the monthly cost"
    else:
        what = (
            f"{signed(change)} a month, and what is {NOT_PRICED}"
            if change
            else f"what changes is {NOT_PRICED}"
        )
    return f"{what}: {_arrow(_month(total.past, report.shown), _month(total.now, report.shown))}"


def head(report: DifferenceReport) -> Iterator[str]:
    """The figures behind the verdict, and what they leave out: a few lines, however long the plan is."""
    total, usd = report.total, report.shown.text
    hours = _arrow(usd(total.past.usd_per_hour), usd(total.now.usd_per_hour))
    bought = _arrow(usd(total.past.purchase_usd), usd(total.now.purchase_usd))
    yield f"an hour: {hours}; bought: {bought} ({report.shown.signed(total.difference.purchase_usd)})"
    yield f"servers: {_arrow(_servers(report.past), _servers(report.now))}"
    yield f"GPUs that models hold: {_arrow(_gpus(report.past), _gpus(report.now))}"
    counts = ", ".join(f"{count} {operation}" for operation, count in report.operations.items())
    yield f"resources: {counts or 'none'}"
    if report.past.unpriced_count or report.now.unpriced_count:
        count = _arrow(str(report.past.unpriced_count), str(report.now.unpriced_count))
        yield f"{NOT_PRICED}, and in no sum: {count}"
    if report.shown.rate:
        yield report.shown.rate


def _sides(money: CurrencyOut) -> Mapping[str, Callable[[TotalOut], str]]:
    return {
        "was": lambda row: _month(row.past, money),
        "will be": lambda row: _month(row.now, money),
        "difference": lambda row: _difference(row.difference, money),
        "bought": lambda row: (
            money.signed(row.difference.purchase_usd) if row.difference.purchase_usd else ""
        ),
    }


def components(report: DifferenceReport) -> Table:
    """What each component costs on both sides, and all of them."""
    name: Mapping[str, Callable[[TotalOut], str]] = {
        "component": lambda row: row.component if isinstance(row, ComponentRow) else "all"
    }
    rows: tuple[TotalOut, ...] = (*report.components, report.total)
    return Table.of(f"{report.shown.code} a month", rows, {**name, **_sides(report.shown)})


def details(report: DifferenceReport) -> list[Table]:
    """The rest, as long as it is; a table without rows is left out."""
    changed = [row for row in report.lines if row.changed]
    name: Mapping[str, Callable[[LineRow], str]] = {
        "component": lambda row: row.component,
        "what": lambda row: row.name,
    }
    every = (
        Table.of("lines that change", changed, {**name, **_sides(report.shown)}),
        Table(NOT_PRICED, ("what", "side"), tuple(_unpriced(report))),
        price_table(report.prices),
    )
    return [table for table in every if table.rows]


def _unpriced(report: DifferenceReport) -> Iterator[tuple[str, str]]:
    """What is not priced on one side or both, that of both last."""
    past, now = set(report.past.unpriced), set(report.now.unpriced)
    yield from ((name, "new") for name in report.now.unpriced if name not in past)
    yield from ((name, "gone") for name in report.past.unpriced if name not in now)
    yield from ((name, "both") for name in report.now.unpriced if name in past)


def _difference(change: ChangeOut, money: CurrencyOut) -> str:
    monthly = money.signed(change.usd_per_month)
    if change.complete:
        return monthly
    return f"{monthly} and {NOT_PRICED}" if change.usd_per_month else NOT_PRICED


def _month(side: AmountOut, money: CurrencyOut) -> str:
    if not side.unpriced_lines:
        return money.text(side.usd_per_month)
    if not side.usd_per_month:
        return NOT_PRICED
    return f"{money.text(side.usd_per_month)}, {side.unpriced_lines} {NOT_PRICED}"


def _servers(side: SideOut) -> str:
    if side.server is None:
        return "none"
    spares = f" + {side.standby} {side.standby_mode} spare" if side.standby else ""
    return f"{side.in_service} x {side.server[:80]}{spares}"


def _gpus(side: SideOut) -> str:
    return str(sum(side.models.values()))


def _arrow(past: str, now: str) -> str:
    return past if past == now else f"{past} -> {now}"
