"""The shapes of what is priced and of what it costs. All money is Decimal, in USD."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from typing import Self

from tierup.catalog import Server
from tierup.catalog.price import HOURS_PER_MONTH, Price
from tierup.plan.model import Rental
from tierup.stack.sections import StandbyMode

RENT = "rent"  # the component of what rented machines cost


@dataclass(frozen=True, slots=True)
class Volume:
    """A claim on a storage class (None: the cluster's default), `count` of the same."""

    name: str
    gib: int
    storage_class: str | None
    count: int = 1


@dataclass(frozen=True, slots=True)
class Bill:
    """What is to be priced, read from a plan of ours or from Pulumi's: the same for both, so both cost the same.

    `server` is an id of the catalogue; `models` maps a model to the GPUs its replicas at rest hold. `quotes` are the
    stack's own prices by id. `unknown` are resources that cannot be priced, `type name` each. `rental` is the offer
    at which the servers are rented, None: they are owned. `own` is the server, if the stack brings it itself.
    """

    server: str | None
    in_service: int
    standby: int
    standby_mode: StandbyMode
    volumes: tuple[Volume, ...] = ()
    load_balancers: int = 0
    models: dict[str, int] = field(default_factory=dict)
    quotes: dict[str, Price] = field(default_factory=dict)
    unknown: tuple[str, ...] = ()
    rental: Rental | None = None
    own: dict[str, Server] = field(default_factory=dict)


class Kind(StrEnum):
    """Bought once and worn out over its life, or paid as it runs."""

    CAPEX = "capex"
    OPEX = "opex"


@dataclass(frozen=True, slots=True)
class Line:
    """One cost. `component`: nodes, standby, power, facility, maintenance, labour, network, storage; rent.

    Everything for owned spares stands under standby. `quantity` counts in `unit`. `usd_per_hour` None: not priced;
    `low` and `high` bound it, equal to it where no price has a range. `purchase_usd` is what is paid at once (capex),
    of which `usd_per_hour` is the amortised part. `prices` are the ids it was computed from.
    """

    component: str
    name: str
    kind: Kind
    quantity: Decimal
    usd_per_hour: Decimal | None
    purchase_usd: Decimal | None
    low: Decimal | None
    high: Decimal | None
    prices: tuple[str, ...]
    unit: str = ""

    @property
    def usd_per_month(self) -> Decimal | None:
        return per_month(self.usd_per_hour)

    @property
    def low_usd_per_month(self) -> Decimal | None:
        return per_month(self.low)

    @property
    def high_usd_per_month(self) -> Decimal | None:
        return per_month(self.high)


def per_month(usd_per_hour: Decimal | None) -> Decimal | None:
    """USD per month of 730 hours; None: not priced."""
    return None if usd_per_hour is None else usd_per_hour * HOURS_PER_MONTH


@dataclass(frozen=True, slots=True)
class HourlyCost:
    """USD per hour, and so per month of 730 hours."""

    usd_per_hour: Decimal = Decimal(0)

    @property
    def usd_per_month(self) -> Decimal:
        return self.usd_per_hour * HOURS_PER_MONTH


@dataclass(frozen=True, slots=True)
class Amount(HourlyCost):
    """What some lines cost together: also what is paid at once. Unpriced lines are counted and are in no sum."""

    purchase_usd: Decimal = Decimal(0)
    unpriced_lines: int = 0

    @classmethod
    def of(cls, lines: Iterable[Line]) -> Self:
        """The sums of the lines; an unpriced line adds nothing, what was paid for it neither."""
        return cls.total(
            cls(unpriced_lines=1)
            if line.usd_per_hour is None
            else cls(line.usd_per_hour, line.purchase_usd if line.purchase_usd is not None else Decimal(0))
            for line in lines
        )

    @classmethod
    def total(cls, amounts: Iterable["Amount"]) -> Self:
        """The sums of several amounts."""
        every = tuple(amounts)
        return cls(
            sum((item.usd_per_hour for item in every), Decimal(0)),
            sum((item.purchase_usd for item in every), Decimal(0)),
            sum(item.unpriced_lines for item in every),
        )


@dataclass(frozen=True, slots=True)
class TierCost:
    """All lines of one bill, owned; sums leave out what is not priced, and `unpriced` names it.

    `prices` are those that were asked for, the stack's own quotes among them; `stale` those of them that are old.
    `gpus` are those of the servers in service; 0 where the catalogue does not know the server.
    """

    lines: tuple[Line, ...]
    prices: dict[str, Price]
    unpriced: tuple[str, ...]
    stale: tuple[str, ...] = ()
    gpus: int = 0

    @property
    def usd_per_hour(self) -> Decimal:
        return self.hourly()

    @property
    def usd_per_month(self) -> Decimal:
        return self.usd_per_hour * HOURS_PER_MONTH

    def hourly(self, kind: Kind | None = None, component: str | None = None) -> Decimal:
        """USD per hour of all lines, or of those of one kind or component."""
        return Amount.of(
            line for line in self.lines if kind in (None, line.kind) and component in (None, line.component)
        ).usd_per_hour

    @property
    def capex(self) -> HourlyCost:
        """The part of what was bought that wears out in that time."""
        return HourlyCost(self.hourly(Kind.CAPEX))

    @property
    def opex(self) -> HourlyCost:
        """What is paid as it runs."""
        return HourlyCost(self.hourly(Kind.OPEX))

    @property
    def range_per_hour(self) -> tuple[Decimal, Decimal]:
        """USD per hour with every price at the end that makes it cheap, and at the one that makes it dear."""
        priced = [line for line in self.lines if line.low is not None and line.high is not None]
        return (
            sum((line.low for line in priced if line.low is not None), Decimal(0)),
            sum((line.high for line in priced if line.high is not None), Decimal(0)),
        )

    @property
    def low_usd_per_month(self) -> Decimal:
        return self.range_per_hour[0] * HOURS_PER_MONTH

    @property
    def high_usd_per_month(self) -> Decimal:
        return self.range_per_hour[1] * HOURS_PER_MONTH

    @property
    def usd_per_gpu_hour(self) -> Decimal | None:
        """By the GPUs in service; None where there are none."""
        return self.usd_per_hour / self.gpus if self.gpus else None

    @property
    def purchase_usd(self) -> Decimal:
        """What is paid at once, also for lines whose hourly cost is unknown."""
        return sum((line.purchase_usd for line in self.lines if line.purchase_usd is not None), Decimal(0))
