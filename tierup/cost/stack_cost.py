"""The cost of one stack on one day: its plan, its bill, the prices of it, and the outlook that follows."""

import datetime
from collections.abc import Iterator
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Self

from tierup.catalog.price import Price
from tierup.catalog.prices import Prices, load_prices
from tierup.cost.analysis.api import ApiPrice
from tierup.cost.analysis.outlook import Outlook, outlook
from tierup.cost.bill.of_plan import bill_of
from tierup.cost.budget import implausible, stale
from tierup.cost.export.focus import Account, focus_table
from tierup.cost.export.opencost import opencost_document
from tierup.cost.parts import server_parts
from tierup.cost.pricing import price
from tierup.cost.rent import Rent, chosen, rented
from tierup.cost.types import Bill, TierCost
from tierup.findings.model import Finding
from tierup.plan.model import Plan


def priced(plan: Plan) -> Plan:
    """The plan with what it costs an hour, for the boards of its Grafana; None where nothing of it has a price."""
    bill = bill_of(plan)
    cost = price(bill, load_prices().with_own(bill.own))
    known = any(line.usd_per_hour is not None for line in cost.lines)
    return replace(plan, usd_per_hour=cost.usd_per_hour if known else None)


@dataclass(frozen=True, slots=True)
class StackCost:
    """What the plan of a stack costs with the prices of `today`."""

    plan: Plan
    bill: Bill
    prices: Prices
    cost: TierCost
    today: datetime.date

    @classmethod
    def of(cls, plan: Plan, prices: Prices, today: datetime.date) -> Self:
        """The cost of a plan; `today` is the day against which prices are called stale."""
        bill = bill_of(plan)
        prices = prices.with_own(bill.own)
        return cls(plan, bill, prices, price(bill, prices, today), today)

    def outlook(self, utilisation: Decimal | None = None, api: ApiPrice | None = None) -> Outlook:
        """Tokens, three years, rent and what-ifs, for a stated utilisation and API price.

        Raises:
            ValueError: if `utilisation` is not above 0 and at most 1.
        """
        return outlook(self.plan, self.bill, self.prices, utilisation, api)

    def focus(self, month: datetime.date) -> str:
        """One month, by any day of it, as CSV in FOCUS's columns, in the stack's currency."""
        return focus_table(self.cost, Account.of(self.plan, self.rent), month)

    def opencost(self) -> str:
        """OpenCost's file default.json, in the stack's currency.

        Raises:
            ValueError: if there is a cost and nothing in the cluster to put it on.
        """
        return opencost_document(self.cost, self.plan)

    @property
    def owned(self) -> TierCost:
        """The same hardware bought, beside a tier that is rented; else the tier's own cost."""
        if self.bill.rental is None:
            return self.cost
        return price(replace(self.bill, rental=None), self.prices, self.today)

    @property
    def rent(self) -> Rent | None:
        """The offer that a rented tier pays; None where the tier is owned, or there is no such offer."""
        return chosen(self.bill, self.prices)

    @property
    def used_prices(self) -> dict[str, Price]:
        """Every price that a figure comes from, by id."""
        parts = server_parts(self.bill, self.prices)
        card = [] if parts is None or parts.card is None else [parts.card]
        others = (*card, *(rent.price for rent in rented(self.bill, self.prices)))
        return self.cost.prices | self.owned.prices | {item.id: item for item in others}

    def stale_prices(self) -> Iterator[Finding]:
        """All used prices that are too old, and the rate of the currency, in one warning."""
        rates = () if (rate := self._rate()) is None else (rate,)
        return stale((*self.used_prices.values(), *rates), self.today)

    def doubtful_prices(self) -> Iterator[Finding]:
        """A server's price that its cards contradict."""
        return implausible(server_parts(self.bill, self.prices))

    def _rate(self) -> Price | None:
        """The exchange rate, as dated as a price is; None for USD."""
        money = self.plan.currency
        if money.source is None or money.as_of is None:
            return None
        return Price(f"currency {money.code}", money.per_usd, money.code, money.source, money.as_of, "high")
