"""What every cost report is made of: rounded figures, prices and findings for programs, tables for people."""

import datetime
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from decimal import ROUND_HALF_UP, Decimal
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from tierup.catalog.price import Price, dated
from tierup.catalog.prices import Prices
from tierup.cost.pricing import is_stale
from tierup.findings.model import Finding, Severity
from tierup.findings.secrets import redacted
from tierup.plan.model import CurrencyPlan

CENT, HOUR, TOKEN, PART, RATE = map(Decimal, ("0.01", "0.000001", "0.0001", "0.0001", "0.1"))
NOT_PRICED, USD = "not priced", "USD"


def rounded(value: Decimal, to: Decimal = CENT) -> Decimal:
    """Half away from zero, as money is."""
    return value.quantize(to, ROUND_HALF_UP)


# The types of fields: a figure is rounded where it enters a report, a text loses its secrets.
Cents = Annotated[Decimal, AfterValidator(lambda usd: rounded(usd, CENT))]
HourlyUsd = Annotated[Decimal, AfterValidator(lambda usd: rounded(usd, HOUR))]
Part = Annotated[Decimal, AfterValidator(lambda part: rounded(part, PART))]
Redacted = Annotated[str, AfterValidator(redacted)]


class Out(BaseModel):
    """A JSON object whose shape is promised, read from the attributes of those names of what was computed."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, from_attributes=True, alias_generator=to_camel, populate_by_name=True
    )


class Money(Out):
    """USD an hour (six decimals) and a month of 730 hours (cents), each rounded by itself."""

    usd_per_hour: HourlyUsd
    usd_per_month: Cents


class CurrencyOut(Out):
    """The currency in which people are shown a cost, and its rate; figures with `usd` in their names are USD."""

    code: str
    per_usd: Decimal
    source: Redacted | None
    as_of: datetime.date | None

    @classmethod
    def of(cls, plan: CurrencyPlan) -> "CurrencyOut":
        """The currency of a plan."""
        return cls.model_validate(plan)

    def text(self, usd: Decimal | None, digits: int = 2) -> str:
        """USD in this currency, with so many decimals; what has no price is no zero."""
        if usd is None:
            return NOT_PRICED
        return self.write(usd * self.per_usd, digits)

    def write(self, amount: Decimal, digits: int) -> str:
        """An amount that is in this currency already."""
        text = f"{rounded(amount, Decimal(1).scaleb(-digits)):,f}"
        return f"${text}" if self.code == USD else f"{self.code} {text}"

    def signed(self, usd: Decimal) -> str:
        """More or less of the currency."""
        sign = "+" if usd > 0 else "-" if usd < 0 else ""
        return f"{sign}{self.text(abs(usd))}"

    def between(self, low: Decimal | None, high: Decimal | None) -> str:
        """A range; nothing where both ends are the same or unknown."""
        return "" if low is None or high is None or low == high else f"{self.text(low)}-{self.text(high)}"

    @property
    def rate(self) -> str:
        """The rate with its source and date; empty for USD."""
        at = f"in {self.code} at {self.per_usd:f} {self.code} per USD"
        return "" if self.code == USD else f"{at} ({self.source}, {self.as_of})"


def amounts(money: CurrencyOut) -> Mapping[str, Callable[[Any], str]]:
    """The columns of `Money`, for every table of costs."""
    return {
        f"{money.code}/hour": lambda item: money.text(item.usd_per_hour, 4),
        f"{money.code}/month": lambda item: money.text(item.usd_per_month),
    }


class PriceOut(Out):
    """One price or factor that a line uses; `value` null: not priced."""

    id: str
    what: str
    value: Decimal | None
    low: Decimal | None
    high: Decimal | None
    unit: str
    source: Redacted
    as_of: datetime.date
    confidence: Literal["high", "medium", "low"]
    quoted: Annotated[bool, Field(description="The stack's own, not the catalogue's")]
    stale: bool
    own_date: Annotated[datetime.date | None, Field(description="Null: the source gives the price no date")]
    looked_up: Annotated[
        datetime.date | None, Field(description="Day on which the source was read, if known")
    ]

    @classmethod
    def of(cls, item: Price, prices: Prices, today: datetime.date) -> "PriceOut":
        """The price as it is reported on a day."""
        what, stale = prices.what.get(item.id, ""), is_stale(item, today)
        return cls(**asdict(item), what=what, stale=stale, own_date=item.own_date)


class FindingOut(Out):
    """One finding; docs/findings.md explains its code."""

    code: str
    name: str
    severity: Severity
    path: str
    message: str
    accepted: str | None

    @classmethod
    def of(cls, item: Finding) -> "FindingOut":
        """The finding, its text as a person reads it."""
        return cls(
            code=str(item.code),
            name=item.code.name,
            severity=item.severity,
            path=item.path,
            message=str(item),
            accepted=item.accepted,
        )


_Row = TypeVar("_Row")


@dataclass(frozen=True, slots=True)
class Table:
    """A title, columns, and rows of as many cells."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    @classmethod
    def of(cls, title: str, items: Iterable[_Row], columns: Mapping[str, Callable[[_Row], str]]) -> "Table":
        """A row for each item; `columns` maps a heading to the text of a cell."""
        rows = (tuple(cell(item) for cell in columns.values()) for item in items)
        return cls(title, tuple(columns), tuple(rows))


def between(low: Decimal | None, high: Decimal | None) -> str:
    """A range of a price; nothing where both ends are the same or unknown."""
    return "" if low is None or high is None or low == high else f"{low:,f}-{high:,f}"


def price_table(prices: Iterable[PriceOut]) -> Table:
    """Every price that was used, with its source."""
    return Table.of("prices used", prices, _PRICE_COLUMNS)


_PRICE_COLUMNS: Mapping[str, Callable[[PriceOut], str]] = {
    "price": lambda item: item.id,
    "value": lambda item: NOT_PRICED if item.value is None else f"{item.value:f}",
    "unit": lambda item: item.unit,
    "range": lambda item: between(item.low, item.high),
    "as of": lambda item: (
        ""
        if item.as_of == datetime.date.min
        else dated(item.own_date, item.looked_up) + (" (old)" if item.stale else "")
    ),
    "confidence": lambda item: "quoted" if item.quoted else "" if item.value is None else item.confidence,
    "source": lambda item: item.source,
}
