"""Which prices are known: those of prices.yaml, and what each server costs by servers.yaml."""

import datetime
import functools
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Annotated, Literal, Self

import yaml
from pydantic import Field, model_validator

from tierup.catalog import CatalogError, Server, Source, Text, _Loader, _Strict, load_catalog, parse_table
from tierup.catalog.price import Price

Confidence = Literal["high", "medium", "low"]
Unit = Literal[
    "USD",
    "USD/hour",
    "USD/month",
    "USD/kWh",
    "USD/kW-month",
    "USD/server-month",
    "USD/GiB-month",
    "W",
    "months",
    "ratio",
    "ratio/year",
]
Amount = Annotated[Decimal, Field(ge=0)]
STORAGE = "storage"  # `storage-CLASS` is the price of one class
# What a factor can be at all; a price is bounded by nothing but zero.
LIMITS = {
    "pue": (Decimal(1), Decimal(5)),
    "life": (Decimal(1), Decimal(240)),
    "residual": (Decimal(0), Decimal(1)),
    "maintenance": (Decimal(0), Decimal(1)),
    "electricity": (Decimal(0), Decimal(5)),
}


class Offer(_Strict):
    """What a rent price is for: one machine of a provider with so many GPUs."""

    gpu: Text
    gpus: Annotated[Decimal, Field(ge=1, multiple_of=1)]
    provider: Text
    region: Text | None = None


class PriceEntry(_Strict):
    """One row of prices.yaml; its head says what the keys mean."""

    what: Text
    value: Amount | None
    unit: Unit
    source: Source
    as_of: datetime.date
    confidence: Confidence = "high"
    low: Amount | None = None
    high: Amount | None = None
    rent: Offer | None = None

    @model_validator(mode="after")
    def _bounds_enclose_value(self) -> Self:
        ends = (self.low, self.high)
        if ends == (None, None):
            return self
        if self.value is None or None in ends:
            raise ValueError("low and high go together, on a value")
        assert self.low is not None
        assert self.high is not None
        if not self.low <= self.value <= self.high:
            raise ValueError(f"value {self.value} is outside low {self.low} .. high {self.high}")
        return self


@dataclass(frozen=True, slots=True)
class Prices:
    """The catalogue's prices by id (a server's is its own id), what each is, what is rented, and the servers."""

    by_id: Mapping[str, Price]
    what: Mapping[str, str]
    offers: Mapping[str, Offer]
    servers: Mapping[str, Server]

    def knows(self, name: str) -> bool:
        """Whether a stack may quote this id."""
        return name in self.by_id or name.startswith(f"{STORAGE}-")

    def server(self, name: str | None) -> Server | None:
        """The catalogue's entry of a bill's server; None where there is none."""
        return None if name is None else self.servers.get(name)

    def find(self, name: str, quotes: Mapping[str, Price]) -> Price | None:
        """A stack's own quote before the catalogue's price; None for an id that nobody knows."""
        return quotes.get(name, self.by_id.get(name))

    def unit(self, name: str) -> str:
        """The unit of an id that is known."""
        return self.by_id[name if name in self.by_id else STORAGE].unit


class _DecimalLoader(_Loader):
    """Numbers as they are written, never by way of a binary fraction."""

    def number(self, node: yaml.ScalarNode) -> object:
        try:
            return Decimal(node.value)
        except InvalidOperation:
            return node.value  # not a plain number: reported in its place


for _tag in ("int", "float"):
    _DecimalLoader.add_constructor(f"tag:yaml.org,2002:{_tag}", _DecimalLoader.number)


@functools.cache
def load_prices() -> Prices:
    """The prices beside this module, with the catalogue's servers."""
    text = Path(__file__).with_name("prices.yaml").read_text(encoding="utf-8")
    return with_servers(parse_prices(text), load_catalog().servers)


def parse_prices(text: str) -> Mapping[str, PriceEntry]:
    """The rows from the file's text.

    Raises:
        CatalogError: naming entry and field of every problem.
    """
    problems: list[str] = []
    entries = parse_table("prices", PriceEntry, text, problems, _DecimalLoader)
    if problems:
        raise CatalogError(problems)
    return entries


def with_servers(entries: Mapping[str, PriceEntry], servers: Mapping[str, Server]) -> Prices:
    """The rows and the servers' own prices, under one set of ids."""
    rows = {
        name: Price(
            name,
            row.value,
            row.unit,
            row.source.title,
            row.as_of,
            row.confidence,
            row.low,
            row.high,
        )
        for name, row in entries.items()
    }
    bought = {name: server_price(name, server) for name, server in servers.items()}
    what = {name: row.what for name, row in entries.items()} | {
        name: f"one server: {server.title}" for name, server in servers.items()
    }
    offers = {name: row.rent for name, row in entries.items() if row.rent is not None}
    return Prices(rows | bought, what, offers, servers)


def server_price(name: str, server: Server) -> Price:
    """What one server costs to buy, as servers.yaml has it in whole dollars."""
    said = server.capex_usd
    value, low, high = (
        None if usd is None else Decimal(str(usd)).quantize(Decimal(1))
        for usd in (said.value, said.low, said.high)
    )
    return Price(name, value, "USD", said.source.title, said.as_of, said.confidence, low, high)
