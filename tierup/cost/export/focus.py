"""A cost as FOCUS 1.1 rows of one month: what was bought in it, then every hour since the purchase.

A purchase is billed in full in the month of its day, in no other, and has no effective cost; the hours that it covers
are billed nothing and carry its amortised part. Without a known day no month bills it. What is paid as it runs is
billed and effective alike. What is not priced has no row: FOCUS allows no cost without a number, and a zero would be
wrong.
"""

import calendar
import csv
import datetime
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal

from tierup.cost.rent import Rent
from tierup.cost.types import Line, TierCost
from tierup.plan.model import DOLLARS, CurrencyPlan, Plan

# Mandatory columns of FOCUS 1.1, and the conditional ones that FOCUS 1.0 asks for too; ours begin with x_.
COLUMNS = (
    *("AvailabilityZone", "BilledCost", "BillingAccountId", "BillingAccountName", "BillingCurrency"),
    *("BillingPeriodEnd", "BillingPeriodStart", "ChargeCategory", "ChargeClass", "ChargeDescription"),
    *("ChargeFrequency", "ChargePeriodEnd", "ChargePeriodStart", "CommitmentDiscountCategory"),
    *("CommitmentDiscountId", "CommitmentDiscountName", "CommitmentDiscountStatus", "CommitmentDiscountType"),
    *("ConsumedQuantity", "ConsumedUnit", "ContractedCost", "ContractedUnitPrice", "EffectiveCost"),
    *("InvoiceIssuerName", "ListCost", "ListUnitPrice", "PricingCategory", "PricingQuantity", "PricingUnit"),
    *(
        "ProviderName",
        "PublisherName",
        "RegionId",
        "RegionName",
        "ResourceId",
        "ResourceName",
        "ResourceType",
    ),
    *("ServiceCategory", "ServiceName", "ServiceSubcategory", "SkuId", "SkuPriceId", "SubAccountId"),
    *("SubAccountName", "Tags", "x_Prices"),
)
# FOCUS's words for a component; a machine of one's own, its power and its room are compute.
_SERVICES = {
    "network": ("Networking", "Other (Networking)"),
    "storage": ("Storage", "Other (Storage)"),
}
_COMPUTE = ("Compute", "Other (Compute)")
_PLACES = Decimal("1e-12")  # of the currency; a year of hours then is off by less than a millionth of a cent
OWN = "own hardware"
_HOUR, _DAY = datetime.timedelta(hours=1), datetime.timedelta(days=1)
Row = dict[str, str]


@dataclass(frozen=True, slots=True)
class Account:
    """Whose cost it is: the stack, who is paid for its servers, when they were bought (None: unknown), the currency."""

    stack: str
    provider: str = OWN
    purchased: datetime.date | None = None
    currency: CurrencyPlan = DOLLARS

    @classmethod
    def of(cls, plan: Plan, rent: Rent | None) -> "Account":
        """The account of a plan; `rent` is the offer that it pays."""
        asked = rent.rental if rent is not None else plan.nodes.rental
        provider = OWN if asked is None else asked.provider or "unknown provider"
        return cls(plan.stack, provider, plan.nodes.purchased, plan.currency)

    def money(self, usd: Decimal) -> str:
        """An amount in the account's currency."""
        return f"{(usd * self.currency.per_usd).quantize(_PLACES).normalize():f}"


def focus_table(cost: TierCost, account: Account, month: datetime.date) -> str:
    """The rows as CSV with a header; `month` is any day of the month that is billed."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows(cost, account, month))
    return text.getvalue()


def rows(cost: TierCost, account: Account, month: datetime.date) -> Iterator[Row]:
    """Every purchase of the month, then every line for every hour since; a column that is not there is null."""
    first = _midnight(month.replace(day=1))
    end = first + calendar.monthrange(month.year, month.month)[1] * _DAY
    bought = None if account.purchased is None else _midnight(account.purchased)
    period = {"BillingPeriodStart": _time(first), "BillingPeriodEnd": _time(end)}
    priced = [line for line in cost.lines if line.usd_per_hour is not None]
    if bought is not None and first <= bought < end:
        for line in priced:
            if line.purchase_usd is not None:
                charged = _charged(bought, bought + _DAY)
                yield {**_common(line, account), **period, **charged, **_purchase(line.purchase_usd, account)}
    start = first if bought is None else max(first, bought)
    while start < end:
        for line in priced:
            charged = _charged(start, start + _HOUR)
            yield {**_common(line, account), **period, **charged, **_usage(line, account)}
        start += _HOUR


def _midnight(day: datetime.date) -> datetime.datetime:
    return datetime.datetime(day.year, day.month, day.day, tzinfo=datetime.UTC)


def _purchase(usd: Decimal, account: Account) -> Row:
    money = dict.fromkeys(
        ("BilledCost", "ContractedCost", "ContractedUnitPrice", "ListCost", "ListUnitPrice")
    )
    return {
        "ChargeCategory": "Purchase",
        "ChargeFrequency": "One-Time",
        **dict.fromkeys(money, account.money(usd)),
        "EffectiveCost": "0",
        "PricingQuantity": "1",
        "PricingUnit": "Purchases",
    }


def _usage(line: Line, account: Account) -> Row:
    assert line.usd_per_hour is not None
    hourly = account.money(line.usd_per_hour)
    money = ("EffectiveCost", "ContractedCost", "ContractedUnitPrice", "ListCost", "ListUnitPrice")
    return {
        "ChargeCategory": "Usage",
        "ChargeFrequency": "Usage-Based",
        **dict.fromkeys(money, hourly),
        "BilledCost": "0" if line.purchase_usd is not None else hourly,
        "PricingQuantity": "1",
        "PricingUnit": "Hours",
        "ConsumedQuantity": "1",
        "ConsumedUnit": "Hours",
    }


def _common(line: Line, account: Account) -> Row:
    stack, provider = account.stack, account.provider
    category, subcategory = _SERVICES.get(line.component, _COMPUTE)
    return {
        "BillingAccountId": stack,
        "BillingAccountName": stack,
        "BillingCurrency": account.currency.code,
        "ChargeDescription": f"{line.component}: {line.name}, {line.quantity:f}",
        "InvoiceIssuerName": provider,
        "PricingCategory": "Standard",
        "ProviderName": provider,
        "PublisherName": provider,
        "ResourceId": f"{stack}/{line.component}/{line.name}",
        "ResourceName": line.name,
        "ResourceType": line.component,
        "ServiceCategory": category,
        "ServiceName": line.component,
        "ServiceSubcategory": subcategory,
        "SkuId": line.name,
        "SkuPriceId": line.name,
        "Tags": json.dumps({"stack": stack, "component": line.component, "kind": line.kind.value}),
        "x_Prices": json.dumps(line.prices),
    }


def _charged(start: datetime.datetime, end: datetime.datetime) -> Row:
    return {"ChargePeriodStart": _time(start), "ChargePeriodEnd": _time(end)}


def _time(moment: datetime.datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
