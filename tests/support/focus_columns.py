"""The columns of FOCUS 1.0 and what 1.1 adds to those that every dataset has, with the types of the specification."""

import csv
import datetime
import io
import json
import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Column:
    kind: str  # string, decimal, datetime, currency, json
    null: bool = False
    values: tuple[str, ...] = ()

    def fits(self, text: str) -> bool:
        if text == "":
            return self.null
        if self.values and text not in self.values:
            return False
        match self.kind:
            case "decimal":
                return re.fullmatch(r"-?\d+(\.\d+)?", text) is not None
            case "datetime":
                return re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", text) is not None and bool(
                    moment(text)
                )
            case "currency":
                return re.fullmatch(r"[A-Z]{3}", text) is not None
            case "json":
                return all(isinstance(value, str) for value in json.loads(text).values())
        return True


TEXT, TEXT_OR_NULL = Column("string"), Column("string", null=True)
MONEY, MONEY_OR_NULL = Column("decimal"), Column("decimal", null=True)
TIME = Column("datetime")
SERVICES = (
    *("AI and Machine Learning", "Analytics", "Business Applications", "Compute", "Databases"),
    *("Developer Tools", "Multicloud", "Identity", "Integration", "Internet of Things"),
    *("Management and Governance", "Media", "Migration", "Mobile", "Networking", "Security", "Storage"),
    *("Web", "Other"),
)
COLUMNS = {
    "AvailabilityZone": TEXT_OR_NULL,
    "BilledCost": MONEY,
    "BillingAccountId": TEXT,
    "BillingAccountName": TEXT_OR_NULL,
    "BillingCurrency": Column("currency"),
    "BillingPeriodEnd": TIME,
    "BillingPeriodStart": TIME,
    "ChargeCategory": Column("string", values=("Usage", "Purchase", "Tax", "Credit", "Adjustment")),
    "ChargeClass": Column("string", null=True, values=("Correction",)),
    "ChargeDescription": TEXT_OR_NULL,
    "ChargeFrequency": Column("string", values=("One-Time", "Recurring", "Usage-Based")),
    "ChargePeriodEnd": TIME,
    "ChargePeriodStart": TIME,
    "CommitmentDiscountCategory": Column("string", null=True, values=("Spend", "Usage")),
    "CommitmentDiscountId": TEXT_OR_NULL,
    "CommitmentDiscountName": TEXT_OR_NULL,
    "CommitmentDiscountStatus": Column("string", null=True, values=("Used", "Unused")),
    "CommitmentDiscountType": TEXT_OR_NULL,
    "ConsumedQuantity": MONEY_OR_NULL,
    "ConsumedUnit": TEXT_OR_NULL,
    "ContractedCost": MONEY,
    "ContractedUnitPrice": MONEY_OR_NULL,
    "EffectiveCost": MONEY,
    "InvoiceIssuerName": TEXT,
    "ListCost": MONEY,
    "ListUnitPrice": MONEY_OR_NULL,
    "PricingCategory": Column("string", null=True, values=("Standard", "Dynamic", "Committed", "Other")),
    "PricingQuantity": MONEY_OR_NULL,
    "PricingUnit": TEXT_OR_NULL,
    "ProviderName": TEXT,
    "PublisherName": TEXT,
    "RegionId": TEXT_OR_NULL,
    "RegionName": TEXT_OR_NULL,
    "ResourceId": TEXT_OR_NULL,
    "ResourceName": TEXT_OR_NULL,
    "ResourceType": TEXT_OR_NULL,
    "ServiceCategory": Column("string", values=SERVICES),
    "ServiceName": TEXT,
    "ServiceSubcategory": TEXT,  # 1.1
    "SkuId": TEXT_OR_NULL,
    "SkuPriceId": TEXT_OR_NULL,
    "SubAccountId": TEXT_OR_NULL,
    "SubAccountName": TEXT_OR_NULL,
    "Tags": Column("json", null=True),
}


def moment(text: str) -> datetime.datetime:
    return datetime.datetime.strptime(text, "%Y-%m-%dT%H:%M:%S%z")


def read(text: str) -> list[dict[str, str]]:
    """The rows, after every cell was found to be of its column's type."""
    table = csv.DictReader(io.StringIO(text))
    named = table.fieldnames or []
    assert sorted(set(COLUMNS) - set(named)) == []
    assert [name for name in named if name not in COLUMNS and not name.startswith("x_")] == []
    rows = list(table)
    cells = {(name, row[name]) for row in rows for name in COLUMNS}
    wrong = [f"{name}: {text!r}" for name, text in sorted(cells) if not COLUMNS[name].fits(text)]
    wrong += [rule for row in rows for rule in broken_rules(row)]
    assert wrong[:5] == []
    return rows


def broken_rules(row: dict[str, str]) -> list[str]:
    """The specification's rules across the columns of a row, for usage and purchases."""
    priced = ("PricingQuantity", "PricingUnit", "ListUnitPrice", "PricingCategory", "SkuPriceId")
    rules = {
        "a usage or purchase has price, quantity and unit": all(row[name] for name in priced),
        "a cost is unit price x quantity": row["PricingQuantity"] == "1"
        and (row["ListCost"], row["ContractedCost"]) == (row["ListUnitPrice"], row["ContractedUnitPrice"]),
        "a purchase is not usage-based": row["ChargeCategory"] == "Usage"
        or row["ChargeFrequency"] != "Usage-Based",
        "a prepaid purchase has no effective cost": row["ChargeCategory"] == "Usage"
        or row["EffectiveCost"] == "0",
        "periods have a length": row["ChargePeriodStart"] < row["ChargePeriodEnd"],
        "the charge is in the billing period": row["BillingPeriodStart"] <= row["ChargePeriodStart"]
        and row["ChargePeriodEnd"] <= row["BillingPeriodEnd"],
        "a subcategory has one category": row["ServiceSubcategory"] == f"Other ({row['ServiceCategory']})",
    }
    return [rule for rule, kept in rules.items() if not kept]
