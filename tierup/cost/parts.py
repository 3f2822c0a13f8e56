"""The parts of a cost: by component, by model, by node, and a server's price by what it is made of."""

from dataclasses import asdict, dataclass
from decimal import Decimal

from tierup.catalog.price import Price
from tierup.catalog.prices import Prices
from tierup.cost.types import RENT, Amount, Bill, HourlyCost, Line, TierCost

IDLE = "idle GPUs"
MOST_REST = Decimal(
    "0.5"
)  # of a GPU server's price, at most, that is not its cards; see `ServerParts.implausible`
_SERVER = "server"  # the unit of lines that every server has its part of


@dataclass(frozen=True, slots=True, kw_only=True)
class ComponentCost(Amount):
    """The lines of one component together."""

    component: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Share(HourlyCost):
    """One model's part of the tier's cost; the last one is the GPUs that no replica at rest uses."""

    name: str
    gpus: int


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeCost(HourlyCost):
    """What each of `count` servers costs, without what the tier has once (switch, volumes)."""

    role: str
    count: int
    purchase_usd: Decimal


@dataclass(frozen=True, slots=True)
class ServerParts:
    """One server's price: its cards at what single ones cost, and the rest by difference. None: not priced."""

    cards: int
    card: Price | None
    server: Price

    @property
    def price_usd(self) -> Decimal | None:
        return self.server.value

    @property
    def low_usd(self) -> Decimal | None:
        return self.server.low

    @property
    def high_usd(self) -> Decimal | None:
        return self.server.high

    @property
    def card_usd(self) -> Decimal | None:
        return None if self.card is None else self.card.value

    @property
    def rest_usd(self) -> Decimal | None:
        if self.card_usd is None or self.price_usd is None:
            return None
        return self.price_usd - self.cards * self.card_usd

    @property
    def rest_share(self) -> Decimal | None:
        """The part (0..1) of the price that is not cards; below 0 the cards alone cost more than the server."""
        return None if self.rest_usd is None or not self.price_usd else self.rest_usd / self.price_usd

    def implausible(self) -> bool:
        """Whether the parts of the price cannot both be right: the rest costs nothing, or more than the cards.

        One complete server has both figures from sources: eight H100 with NVLink for 310,000 USD (a sheet after a
        Thinkmate quote, 2024-08-22) with cards of 25,000 to 30,000 USD. 23 to 35 % of it is not cards. Our rule adds
        room for smaller servers: up to half.
        """
        return self.rest_share is not None and not 0 < self.rest_share <= MOST_REST


def gpus_in_service(bill: Bill, prices: Prices) -> int:
    """GPUs of the servers in service; 0 where the server is not in the catalogue."""
    server = prices.server(bill.server)
    return 0 if server is None else bill.in_service * server.gpus.value


def by_component(cost: TierCost) -> tuple[ComponentCost, ...]:
    """Every component in the order of the lines; they add up to the cost of the tier."""
    return tuple(
        ComponentCost(
            component=name, **asdict(Amount.of(line for line in cost.lines if line.component == name))
        )
        for name in dict.fromkeys(line.component for line in cost.lines)
    )


def by_model(cost: TierCost, bill: Bill, prices: Prices) -> tuple[Share, ...]:
    """The cost of the tier, by the GPUs that each model's replicas at rest hold; the parts add up to it."""
    used = sum(bill.models.values())
    gpus = max(used, gpus_in_service(bill, prices))
    held = [*bill.models.items(), *([(IDLE, gpus - used)] if gpus > used else [])]
    shares: list[Share] = []
    for name, count in held:
        rest = cost.usd_per_hour - sum(share.usd_per_hour for share in shares)
        usd = rest if len(shares) == len(held) - 1 else cost.usd_per_hour * count / gpus
        shares.append(Share(name=name, gpus=count, usd_per_hour=usd))
    return tuple(shares)


def by_node(cost: TierCost, bill: Bill) -> tuple[NodeCost, ...]:
    """Servers in service, and spares, each priced alone."""
    of_servers = [line for line in cost.lines if line.unit == _SERVER]
    of_machines = [line for line in cost.lines if line.component == RENT]
    if of_machines:
        return tuple(_each("rented machine", int(line.quantity), [line]) for line in of_machines)
    roles = {
        "in service": (bill.in_service, [line for line in of_servers if line.component != "standby"]),
        f"{bill.standby_mode} standby": (
            bill.standby,
            [line for line in of_servers if line.component == "standby"],
        ),
    }
    return tuple(_each(role, count, lines) for role, (count, lines) in roles.items() if count)


def _each(role: str, count: int, lines: list[Line]) -> NodeCost:
    hour = sum((line.usd_per_hour for line in lines if line.usd_per_hour is not None), Decimal(0))
    bought = sum((line.purchase_usd for line in lines if line.purchase_usd is not None), Decimal(0))
    return NodeCost(role=role, count=count, usd_per_hour=hour / count, purchase_usd=bought / count)


def server_parts(bill: Bill, prices: Prices) -> ServerParts | None:
    """What one server's price is made of; None where it is rented, or not in the catalogue."""
    server = prices.server(bill.server)
    if bill.server is None or server is None or bill.rental is not None:
        return None
    item = prices.find(bill.server, bill.quotes)
    assert item is not None
    return ServerParts(server.gpus.value, prices.find(f"card-{server.gpu}", bill.quotes), item)
