"""The cost of a bill: every owned server, spares too, with its power and place, or its rent; volumes and network.

Amortisation is capex x (1 - residual) / (months x 730) an hour; power is watts / 1000 x PUE x USD/kWh. A cold spare
costs what it was bought for; a warm one idles, and has a place that can feed it under load. A rent pays for all of
that, and a rented spare that is powered off is not rented yet.
"""

import datetime
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from decimal import Decimal

from tierup.catalog import Server
from tierup.catalog.price import HOURS_PER_MONTH, Price
from tierup.catalog.prices import STORAGE, Prices
from tierup.cost.parts import gpus_in_service
from tierup.cost.rent import chosen, own_rent, servers_up
from tierup.cost.types import RENT, Bill, Kind, Line, TierCost
from tierup.stack.sections import StandbyMode

STALE_DAYS = 90
Values = Callable[[str], Decimal]
Formula = Callable[[Values], Decimal]
_CHEAPER_WHEN_HIGH = {"life", "residual"}


def price(bill: Bill, prices: Prices, today: datetime.date | None = None) -> TierCost:
    """What the bill costs; without `today` no price is called stale."""
    prices = prices.with_own(bill.own)
    book = PriceBook(bill, prices)
    servers = _owned(book) if bill.rental is None else _rented(book)
    lines = (*servers, *_network(book), *_volumes(book))
    stale = [] if today is None else [name for name, item in book.used.items() if is_stale(item, today)]
    unpriced = (*book.unpriced, *bill.unknown)
    return TierCost(lines, book.used, unpriced, tuple(stale), gpus_in_service(bill, prices))


def is_stale(item: Price, today: datetime.date) -> bool:
    """Whether a price is too old to be relied on; what has no value has no age."""
    return item.value is not None and (today - item.as_of).days > STALE_DAYS


def amortised(capex_usd: Decimal, residual: Decimal, months: Decimal) -> Decimal:
    """USD an hour of what is bought for so long; `residual` is the part of the price that is left then."""
    return capex_usd * (1 - residual) / (months * HOURS_PER_MONTH)


def powered(watts: Decimal, pue: Decimal, usd_per_kwh: Decimal) -> Decimal:
    """USD an hour of a draw in watts at the server."""
    return watts / 1000 * pue * usd_per_kwh


@dataclass(frozen=True, slots=True)
class Item:
    """What a line is for: so many of it, in this unit."""

    component: str
    name: str
    count: int
    unit: str = "server"


class PriceBook:
    """The prices of one bill: a quote before the catalogue; notes which were used and which are missing."""

    def __init__(self, bill: Bill, prices: Prices) -> None:
        self.bill, self.prices = bill, prices
        self.used: dict[str, Price] = {}
        self.unpriced: dict[str, None] = {}

    @property
    def server(self) -> Server | None:
        """The catalogue's entry of the bill's server."""
        return self.prices.server(self.bill.server)

    def find(self, name: str) -> Price:
        """The price of this id, which is then used; an unknown id gives a price without a value."""
        item = self.prices.find(name, self.bill.quotes)
        if item is None:
            unit = self.prices.unit(name) if self.prices.can_quote(name) else "USD"
            item = Price(name, None, unit, "not in the catalogue", datetime.date.min, "low")
        self.used[name] = item
        return item

    def runs(self, item: Item, ids: tuple[str, ...], each: Formula) -> Line:
        """Opex: so many times `each` an hour."""
        known = self._all_priced(ids)
        usd, low, high = (None, None, None) if known is None else _ends(item, known, each)
        return Line(
            item.component, item.name, Kind.OPEX, Decimal(item.count), usd, None, low, high, ids, item.unit
        )

    def bought(self, item: Item, name: str) -> Line:
        """Capex: so many of what this id is the price of, with its part of an hour."""
        ids = (name, "life", "residual")
        known = self._all_priced(ids)
        if known is None:
            usd, low, high, paid = None, None, None, None
        else:
            usd, low, high = _ends(item, known, lambda at: amortised(at(name), at("residual"), at("life")))
            paid = item.count * _at(known[name], None)
        return Line(
            item.component, item.name, Kind.CAPEX, Decimal(item.count), usd, paid, low, high, ids, item.unit
        )

    def _all_priced(self, ids: tuple[str, ...]) -> dict[str, Price] | None:
        """The prices of all the ids; None where one has no value, which is noted."""
        items = {name: self.find(name) for name in ids}
        missing = [name for name, item in items.items() if item.value is None]
        self.unpriced |= dict.fromkeys(missing)
        return None if missing else items


def _ends(item: Item, known: dict[str, Price], each: Formula) -> tuple[Decimal, Decimal, Decimal]:
    """So many times the formula at the prices, and at those ends of them that are cheap and dear."""

    def total(dear: bool | None) -> Decimal:
        return item.count * each(lambda name: _at(known[name], dear))

    return total(None), total(False), total(True)


def _at(item: Price, dear: bool | None) -> Decimal:
    """The value, or its end that makes things dear or cheap."""
    assert item.value is not None
    if dear is None or item.low is None or item.high is None:
        return item.value
    return item.high if dear != (item.id in _CHEAPER_WHEN_HIGH) else item.low


def _rented(book: PriceBook) -> Iterator[Line]:
    """The rent of every machine that is up: no purchase, no power, no place."""
    bill = book.bill
    if bill.server is None or not (up := servers_up(bill)):
        return
    rent = chosen(bill, book.prices)
    name, machines = (own_rent(bill.server), up) if rent is None else (rent.price.id, rent.machines)
    offer = bill.rental if rent is None else rent.rental
    yield book.runs(Item(RENT, f"machines, {offer}", machines, "machine"), (name,), lambda at: at(name))


def _owned(book: PriceBook) -> Iterator[Line]:
    """Servers in service and spares."""
    bill = book.bill
    if bill.server is None:
        return
    if bill.in_service:
        yield from _bought(book, bill.server, Item("nodes", "servers in service", bill.in_service))
        yield from _running(book, bill.server, Role("", "load-watts", bill.in_service))
    if bill.standby:
        cold = bill.standby_mode is StandbyMode.COLD
        state = "powered off" if cold else "idling"
        yield from _bought(book, bill.server, Item("standby", f"servers, {state}", bill.standby))
        if not cold:
            yield from _running(book, bill.server, Role("standby", "idle-watts", bill.standby))


def _bought(book: PriceBook, name: str, item: Item) -> Iterator[Line]:
    yield book.bought(item, name)
    if book.server is not None and book.server.cooling.value == "liquid":
        yield book.bought(replace(item, name=f"liquid cooling of {item.name}"), "liquid-cooling")


@dataclass(frozen=True, slots=True)
class Role:
    """Servers that are up: the component of all they cost ("": each its own), and the id prefix of what they draw."""

    component: str
    watts: str
    count: int

    def item(self, component: str, name: str) -> Item:
        return Item(
            self.component or component, f"{name}, {self.component}" if self.component else name, self.count
        )


def _running(book: PriceBook, server: str, role: Role) -> Iterator[Line]:
    """What servers that are up cost as they run; their place must feed them under load."""
    draw, most = f"{role.watts}-{server}", f"load-watts-{server}"
    yield book.runs(
        role.item("power", "electricity"),
        (draw, "pue", "electricity"),
        lambda at: powered(at(draw), at("pue"), at("electricity")),
    )
    yield book.runs(
        role.item("facility", "colocation"),
        (most, "colocation"),
        lambda at: at(most) / 1000 * at("colocation") / HOURS_PER_MONTH,
    )
    yield book.runs(
        role.item("maintenance", "maintenance"),
        (server, "maintenance"),
        lambda at: at(server) * at("maintenance") / (12 * HOURS_PER_MONTH),
    )
    yield book.runs(role.item("labour", "labour"), ("labour",), lambda at: at("labour") / HOURS_PER_MONTH)


def _network(book: PriceBook) -> Iterator[Line]:
    """The tier's switch, where its server is bought with one, and load balancers."""
    owned = book.bill.rental is None
    if owned and book.server is not None and book.server.switch.value is not None:
        fabric = (
            "infiniband" if any(nic.kind.value == "infiniband" for nic in book.server.nics) else "ethernet"
        )
        yield book.bought(
            Item("network", f"switch ({book.server.switch.value})", 1, "switch"), f"switch-{fabric}"
        )
    if book.bill.load_balancers:
        item = Item("network", "load balancers", book.bill.load_balancers, "load balancer")
        yield book.runs(item, ("load-balancer",), lambda at: at("load-balancer") / HOURS_PER_MONTH)


def _volumes(book: PriceBook) -> Iterator[Line]:
    """Claims, at their class's own price if there is one."""
    for volume in book.bill.volumes:
        own = f"{STORAGE}-{volume.storage_class}"
        name = own if own in book.bill.quotes else STORAGE
        item = Item(STORAGE, volume.name, volume.gib * volume.count, "GiB")
        yield _stored(book, item, name)


def _stored(book: PriceBook, item: Item, name: str) -> Line:
    return book.runs(item, (name,), lambda at: at(name) / HOURS_PER_MONTH)
