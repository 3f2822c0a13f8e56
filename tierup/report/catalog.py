"""The catalogue as tables and as plain data: an overview of each kind, and every value of one entry."""

from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from enum import StrEnum
from typing import Any

from pydantic import BaseModel, TypeAdapter

from tierup.catalog import Catalog, Gpu, ModelSpec, Server, Sourced, Variant
from tierup.catalog.price import Price
from tierup.catalog.prices import load_prices

Row = tuple[str, ...]
COLUMNS = ("field", "value", "range", "source", "date", "confidence")


class Kind(StrEnum):
    """The kinds of entries."""

    GPUS = "gpus"
    SERVERS = "servers"
    MODELS = "models"
    PRICES = "prices"


def known(catalog: Catalog) -> dict[str, Kind]:
    """The kind of each id. A server's price stands under the server."""
    return {name: kind for kind in Kind for name in _entries(kind, catalog)}


def plain(kind: Kind, catalog: Catalog) -> dict[str, Any]:
    """Every entry of a kind as JSON data; decimals are strings, a value without a source price is null."""
    entries = _entries(kind, catalog)
    return {name: TypeAdapter(Any).dump_python(entry, mode="json") for name, entry in entries.items()}


def _entries(kind: Kind, catalog: Catalog) -> Mapping[str, Any]:
    if kind is Kind.PRICES:
        return {name: price for name, price in load_prices().by_id.items() if name not in catalog.servers}
    entries: Mapping[str, Any] = getattr(catalog, kind)
    return entries


def overview(kind: Kind, catalog: Catalog) -> tuple[Row, list[Row]]:
    """Columns and rows: what a reader chooses by."""
    overviews: dict[Kind, tuple[Row, Callable[[Any], Row]]] = {
        Kind.GPUS: (("id", "capability", "memory", "bandwidth", "link", "source of memory", "date"), _gpu),
        Kind.SERVERS: (("id", "server", "GPUs", "price", "range", "source of price", "date"), _server),
        Kind.MODELS: (("id", "model", "context", "gated", "precisions", "licence", "date"), _model),
        Kind.PRICES: (("id", "value", "unit", "range", "source", "date", "confidence"), _price),
    }
    columns, row = overviews[kind]
    return columns, [(name, *row(entry)) for name, entry in _entries(kind, catalog).items()]


def _gpu(gpu: Gpu) -> Row:
    memory, link = gpu.memory_mib, gpu.link
    return (
        f"{gpu.compute_capability.value}, {gpu.abilities.architecture}",
        f"{memory.value / 1024:.0f} GiB",
        f"{gpu.bandwidth_gb_s.value:g} GB/s",
        f"{link.kind.value} {link.gb_s.value:g} GB/s{'' if link.p2p.value else ', no peer access'}",
        memory.source.title,
        str(memory.as_of),
    )


def _server(server: Server) -> Row:
    price = server.capex_usd
    return (
        server.title,
        f"{server.gpus.value} x {server.gpu}",
        f"${price.value:,.0f}",
        _range(price.low, price.high),
        price.source.title,
        str(price.as_of),
    )


def _model(model: ModelSpec) -> Row:
    return (
        model.title,
        str(model.max_context.value),
        "yes" if model.gated.value else "no",
        ", ".join(model.variants),
        model.license.value,
        str(model.params.as_of),
    )


def _price(price: Price) -> Row:
    span = _range(price.low, price.high)
    return (_text(price.value), price.unit, span, price.source, str(price.as_of), price.confidence)


def details(kind: Kind, name: str, catalog: Catalog) -> list[Row]:
    """Every value of one entry, as rows of `COLUMNS`."""
    entry = _entries(kind, catalog)[name]
    if isinstance(entry, Price):
        what = (load_prices().what[name], f"{_text(entry.value)} {entry.unit}", _range(entry.low, entry.high))
        return [(*what, entry.source, str(entry.as_of), entry.confidence)]
    return list(_rows(entry, ""))


def _rows(value: Any, path: str) -> Iterator[Row]:
    """A row of `COLUMNS` for each value below this path."""
    if isinstance(value, Sourced):
        origin = (value.source.title, str(value.as_of), value.confidence)
        yield (path, _text(value.value), _range(value.low, value.high), *origin)
    elif isinstance(value, Variant):
        revision = value.revision if value.revision is not None else "not known: write it in the stack file"
        origin = (value.source.title, str(value.as_of), value.confidence)
        yield (f"{path}.revision", f"{value.repo}, commit {revision}", "", *origin)
        yield from _rows(value.weight_gib, f"{path}.weight_gib")
    elif isinstance(value, BaseModel):
        for field in type(value).model_fields:
            yield from _rows(getattr(value, field), f"{path}.{field}".lstrip("."))
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _rows(item, f"{path}.{key}")
    elif isinstance(value, tuple):
        for index, item in enumerate(value):
            yield from _rows(item, f"{path}[{index}]")
    elif value is not None:
        yield (path, str(value), "", "", "", "")


def _text(value: object) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (float, Decimal)):
        return f"{value:,.12g}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _range(low: float | Decimal | None, high: float | Decimal | None) -> str:
    return "" if low is None or high is None else f"{_text(low)} to {_text(high)}"
