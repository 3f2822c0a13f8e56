"""Decides which figures of a cost difference are told, and how they are rounded."""

import datetime
from collections import Counter
from dataclasses import dataclass, replace
from typing import Any

from tierup.catalog.prices import Prices
from tierup.cost.bill.of_resources import bill_of_resources, label
from tierup.cost.difference import Amount, Difference, Row, difference
from tierup.cost.price import is_stale, price
from tierup.cost.report.build import finding_out, money, price_out, rounded
from tierup.cost.report.difference_schema import (
    AmountOut,
    ChangeOut,
    ComponentRow,
    DifferenceReport,
    LineRow,
    SideOut,
    TotalOut,
)
from tierup.cost.types import Bill, TierCost
from tierup.findings.model import Finding, Severity, redacted
from tierup.resources.model import Change


@dataclass(frozen=True, slots=True)
class Planned:
    """What a plan changes: its bills, and what they cost. `unknown`: resources that change and nobody can price."""

    operations: Counter[str]
    past: Bill
    now: Bill
    cost: Difference
    unknown: frozenset[str]


def planned(changes: tuple[Change, ...], prices: Prices) -> Planned:
    """The cost of a plan, each side with the quotes that stand in it."""
    past = bill_of_resources(change.past for change in changes if change.past is not None)
    now = bill_of_resources(change.now for change in changes if change.now is not None)
    sides = [side for change in changes if change.past != change.now for side in (change.past, change.now)]
    touched = {label(side) for side in sides if side is not None}
    return Planned(
        Counter(change.operation for change in changes),
        past,
        now,
        difference(price(past, prices), price(now, prices)),
        frozenset(touched & {*past.unknown, *now.unknown}),
    )


def report(
    stack: str, found: Planned, prices: Prices, today: datetime.date, findings: tuple[Finding, ...]
) -> DifferenceReport:
    """The whole of it, rounded; `today` is the day against which prices are called stale."""
    cost = found.cost
    both = dict.fromkeys([*cost.now.prices.values(), *cost.past.prices.values()])
    return DifferenceReport(
        stack=stack,
        as_of=today,
        ok=all(item.severity is not Severity.ERROR for item in findings),
        operations=dict(sorted(found.operations.items())),
        past=_side(found.past, cost.past),
        now=_side(found.now, cost.now),
        total=TotalOut(**_row(_with(cost.total, found.unknown))),
        components=[ComponentRow(component=row.component, **_row(row)) for row in cost.components],
        lines=[
            LineRow(component=row.component, name=redacted(str(row.name)), **_row(row)) for row in cost.lines
        ],
        prices=[price_out(item, prices, is_stale(item, today)) for item in both],
        findings=[finding_out(item) for item in findings],
    )


def _with(total: Row, unknown: frozenset[str]) -> Row:
    """The total, which is not all of the difference where resources change that nobody can price."""
    changed, complete = total.changed or bool(unknown), total.complete and not unknown
    return replace(total, changed=changed, complete=complete)


def _row(row: Row) -> dict[str, Any]:
    past, now = _amount(row.past), _amount(row.now)
    change = ChangeOut(
        usd_per_hour=now.usd_per_hour - past.usd_per_hour,
        usd_per_month=now.usd_per_month - past.usd_per_month,
        purchase_usd=now.purchase_usd - past.purchase_usd,
        complete=row.complete,
    )
    return {"past": past, "now": now, "changed": row.changed, "difference": change}


def _amount(amount: Amount) -> AmountOut:
    return AmountOut(
        **money(amount.usd_per_hour),
        purchase_usd=rounded(amount.purchase_usd),
        unpriced_lines=amount.unpriced,
    )


def _side(bill: Bill, cost: TierCost) -> SideOut:
    return SideOut(
        server=None if bill.server is None else redacted(bill.server),
        in_service=bill.in_service,
        standby=bill.standby,
        standby_mode=bill.standby_mode,
        load_balancers=bill.load_balancers,
        models={redacted(name): gpus for name, gpus in bill.models.items()},
        unpriced_count=len(cost.unpriced),
        unpriced=[redacted(name) for name in cost.unpriced],
    )
