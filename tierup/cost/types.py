"""Decides nothing: the shapes of prices, of what is priced, and of what it costs. All money is Decimal, in USD."""

from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum

from tierup.catalog.price import Price
from tierup.stack.sections import StandbyMode

HOURS_PER_MONTH = Decimal(730)


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
    stack's own prices by id. `unknown` are resources that nobody here can price, `type name` each.
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


class Kind(StrEnum):
    """Bought once and worn out over its life, or paid as it runs."""

    CAPEX = "capex"
    OPEX = "opex"


@dataclass(frozen=True, slots=True)
class Line:
    """One cost. `component`: nodes, standby, power, facility, maintenance, labour, network, storage.

    Everything for spares stands under standby. `quantity` counts in `unit`. `usd_per_hour` None: not priced; `low` and
    `high` bound it, equal to it where no price has a range. `purchase_usd` is what is paid at once (capex), of which
    `usd_per_hour` is the amortised part. `prices` are the ids it was computed from.
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


@dataclass(frozen=True, slots=True)
class TierCost:
    """All lines of one bill, owned; sums leave out what is not priced, and `unpriced` names it.

    `prices` are those that were asked for, the stack's own quotes among them; `stale` those of them that are old.
    """

    lines: tuple[Line, ...]
    prices: dict[str, Price]
    unpriced: tuple[str, ...]
    stale: tuple[str, ...] = ()

    @property
    def usd_per_hour(self) -> Decimal:
        return self.hourly()

    def hourly(self, kind: Kind | None = None, component: str | None = None) -> Decimal:
        """USD per hour of all lines, or of those of one kind or component."""
        return sum(
            (
                line.usd_per_hour
                for line in self.lines
                if line.usd_per_hour is not None
                and kind in (None, line.kind)
                and component in (None, line.component)
            ),
            Decimal(0),
        )

    @property
    def range_per_hour(self) -> tuple[Decimal, Decimal]:
        """USD per hour with every price at the end that makes it cheap, and at the one that makes it dear."""
        priced = [line for line in self.lines if line.low is not None and line.high is not None]
        return (
            sum((line.low for line in priced if line.low is not None), Decimal(0)),
            sum((line.high for line in priced if line.high is not None), Decimal(0)),
        )

    @property
    def usd_per_month(self) -> Decimal:
        return self.usd_per_hour * HOURS_PER_MONTH

    @property
    def purchase_usd(self) -> Decimal:
        """What is paid at once."""
        return sum((line.purchase_usd for line in self.lines if line.purchase_usd is not None), Decimal(0))
