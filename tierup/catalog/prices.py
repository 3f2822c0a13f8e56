"""The catalogue's prices: those of prices.yaml, and the servers' of servers.yaml."""

import datetime
import functools
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Annotated, Literal, Self

import yaml
from pydantic import Field, model_validator

from tierup.catalog import (
    CatalogError,
    Server,
    Source,
    Text,
    _Loader,
    _Strict,
    load_catalog,
    parse_table,
    text_of,
)
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
STORAGE = "storage"  # `storage-CLASS` is the price of a storage class
# Prices that every server and card can have, by the prefix of their ids: what the catalogue lacks can be quoted.
_OF_SERVER: Mapping[str, Unit] = {"load-watts": "W", "idle-watts": "W", "rent": "USD/hour"}
_OF_CARD: Mapping[str, Unit] = {"card": "USD"}
# The possible range of factors; a price only has to be 0 or more.
LIMITS = {
    "pue": (Decimal(1), Decimal(5)),
    "life": (Decimal(1), Decimal(240)),
    "residual": (Decimal(0), Decimal(1)),
    "maintenance": (Decimal(0), Decimal(1)),
    "electricity": (Decimal(0), Decimal(5)),
}


class Offer(_Strict):
    """What is rented at a price: one machine of a provider with `gpus` GPUs."""

    gpu: Text
    gpus: Annotated[Decimal, Field(ge=1, multiple_of=1)]
    provider: Text
    region: Text | None = None
    term_months: Annotated[Decimal | None, Field(ge=1)] = None  # None: without commitment
    spot: bool = False  # the provider may take the machine back at any time

    @model_validator(mode="after")
    def _spot_has_no_term(self) -> Self:
        if self.spot and self.term_months is not None:
            raise ValueError("a spot price has no term")
        return self

    @property
    def terms(self) -> str:
        """How it is rented, for people."""
        if self.spot:
            return "spot"
        return "on demand" if self.term_months is None else f"{self.term_months:f} months"


class PriceEntry(_Strict):
    """One row of prices.yaml; the keys are explained in the head of that file."""

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


@dataclass(frozen=True)
class Prices:
    """The catalogue's prices by id (a server has its own id), their descriptions, rental offers, and the servers."""

    by_id: Mapping[str, Price]
    what: Mapping[str, str]
    offers: Mapping[str, Offer]
    servers: Mapping[str, Server]

    @functools.cached_property
    def units(self) -> Mapping[str, str]:
        """Every id that a stack may quote, with its unit, but for the storage classes' (`storage-CLASS`)."""
        families = (
            (_OF_SERVER, self.servers),
            (_OF_CARD, dict.fromkeys(server.gpu for server in self.servers.values())),
        )
        own = {
            f"{prefix}-{name}": unit
            for units, names in families
            for prefix, unit in units.items()
            for name in names
        }
        return {**own, **dict.fromkeys(self.servers, "USD"), **{i.id: i.unit for i in self.by_id.values()}}

    def can_quote(self, name: str) -> bool:
        """Whether a stack may quote this id."""
        return name in self.units or name.startswith(f"{STORAGE}-")

    def server(self, name: str | None) -> Server | None:
        """The catalogue's entry of a server; None if there is none."""
        return None if name is None else self.servers.get(name)

    def find(self, name: str, quotes: Mapping[str, Price]) -> Price | None:
        """The stack's quote, else the catalogue's price; None for an unknown id."""
        return quotes.get(name, self.by_id.get(name))

    def unit(self, name: str) -> str:
        """The unit of an id; raises `KeyError` where no stack may quote it."""
        return self.units[STORAGE if name not in self.units and name.startswith(f"{STORAGE}-") else name]


class _DecimalLoader(_Loader):
    """Reads numbers as decimals, exactly as written."""

    def number(self, node: yaml.ScalarNode) -> object:
        try:
            return Decimal(node.value)
        except InvalidOperation:
            return node.value  # not a plain number: reported with its path


for _tag in ("int", "float"):
    _DecimalLoader.add_constructor(f"tag:yaml.org,2002:{_tag}", _DecimalLoader.number)


@functools.cache
def load_prices() -> Prices:
    """The prices of prices.yaml and of the catalogue's servers."""
    text = text_of("prices.yaml")
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
    """The rows and the prices of the servers, under one set of ids."""
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
            looked_up=row.source.looked_up,
        )
        for name, row in entries.items()
    }
    server_prices = {name: server_price(name, server) for name, server in servers.items()}
    what = {name: row.what for name, row in entries.items()} | {
        name: f"one server: {server.title}" for name, server in servers.items()
    }
    offers = {name: row.rent for name, row in entries.items() if row.rent is not None}
    return Prices(rows | server_prices, what, offers, servers)


def server_price(name: str, server: Server) -> Price:
    """The purchase price of a server of servers.yaml, in whole dollars."""
    capex = server.capex_usd
    value, low, high = (
        None if usd is None else Decimal(str(usd)).quantize(Decimal(1))
        for usd in (capex.value, capex.low, capex.high)
    )
    return Price(name, value, "USD", capex.source.title, capex.as_of, capex.confidence, low, high)
