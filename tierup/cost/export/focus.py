"""A cost as FOCUS 1.1 rows: what is bought once, then every hour of one month.

A purchase is billed in full and has no effective cost; the hours that it covers are billed nothing and carry its
amortised part. What is paid as it runs is billed and effective alike. What is not priced has no row: FOCUS allows
no cost without a number, and a zero would be wrong.
"""

import calendar
import csv
import datetime
import io
import json
from collections.abc import Iterator
from decimal import Decimal

from tierup.cost.types import Line, TierCost

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
_PLACES = Decimal("1e-12")  # USD; a year of hours then is off by less than a millionth of a cent
_OWN = "own hardware"
_HOUR = datetime.timedelta(hours=1)
Row = dict[str, str]


def focus_table(cost: TierCost, stack: str, month: datetime.date) -> str:
    """The rows as CSV with a header; `month` is any day of the month that is billed."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows(cost, stack, month))
    return text.getvalue()


def rows(cost: TierCost, stack: str, month: datetime.date) -> Iterator[Row]:
    """Every purchase, then every line for every hour of the month; a column that is not there is null."""
    first = datetime.datetime(month.year, month.month, 1, tzinfo=datetime.UTC)
    hours = 24 * calendar.monthrange(month.year, month.month)[1]
    end = first + hours * _HOUR
    period = {"BillingPeriodStart": _time(first), "BillingPeriodEnd": _time(end)}
    priced = [line for line in cost.lines if line.usd_per_hour is not None]
    for line in priced:
        if line.purchase_usd is not None:
            yield {**_common(line, stack), **period, **_charged(first, end), **_purchase(line.purchase_usd)}
    for hour in range(hours):
        start = first + hour * _HOUR
        for line in priced:
            yield {**_common(line, stack), **period, **_charged(start, start + _HOUR), **_usage(line)}


def _purchase(usd: Decimal) -> Row:
    money = dict.fromkeys(
        ("BilledCost", "ContractedCost", "ContractedUnitPrice", "ListCost", "ListUnitPrice")
    )
    return {
        "ChargeCategory": "Purchase",
        "ChargeFrequency": "One-Time",
        **dict.fromkeys(money, _usd(usd)),
        "EffectiveCost": "0",
        "PricingQuantity": "1",
        "PricingUnit": "Purchases",
    }


def _usage(line: Line) -> Row:
    assert line.usd_per_hour is not None
    hourly = _usd(line.usd_per_hour)
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


def _common(line: Line, stack: str) -> Row:
    category, subcategory = _SERVICES.get(line.component, _COMPUTE)
    return {
        "BillingAccountId": stack,
        "BillingAccountName": stack,
        "BillingCurrency": "USD",
        "ChargeDescription": f"{line.component}: {line.name}, {line.quantity:f}",
        "InvoiceIssuerName": _OWN,
        "PricingCategory": "Standard",
        "ProviderName": _OWN,
        "PublisherName": _OWN,
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


def _usd(value: Decimal) -> str:
    return f"{value.quantize(_PLACES).normalize():f}"
