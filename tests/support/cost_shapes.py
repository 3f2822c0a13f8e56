"""Hand-written costs, small enough to verify by hand."""

import datetime
from collections.abc import Iterator
from decimal import Decimal
from random import Random

from tierup.catalog.price import Price
from tierup.cost.types import Kind, Line, TierCost

DAY = datetime.date(2026, 11, 25)


def dec(text: str | int) -> Decimal:
    return Decimal(text)


def bought(
    usd: str, per_hour: str | None, component: str = "nodes", name: str = "servers in service"
) -> Line:
    hourly = None if per_hour is None else dec(per_hour)
    return Line(component, name, Kind.CAPEX, dec(1), hourly, dec(usd), hourly, hourly, ("server", "life"))


def paid(
    per_hour: str | None, component: str = "power", name: str = "electricity", *ids: str, quantity: int = 1
) -> Line:
    hourly = None if per_hour is None else dec(per_hour)
    return Line(component, name, Kind.OPEX, dec(quantity), hourly, None, hourly, hourly, ids)


def cost_of(*lines: Line, unpriced: tuple[str, ...] = (), **prices: str) -> TierCost:
    known = {
        name: Price(name, dec(value), "months" if name == "life" else "USD", "by hand", DAY, "high")
        for name, value in prices.items()
    }
    return TierCost(lines, known, unpriced)


# 8 x H100 node: 310,000 USD over 48 months of 730 hours, nothing left; 8.5 kW x 1.54 x 0.0929 USD/kWh.
AMORTISED = dec(310_000) / (48 * 730)
POWER = dec("8.5") * dec("1.54") * dec("0.0929")
H100 = cost_of(bought("310000", str(AMORTISED)), paid(str(POWER)), life="48")


def any_costs(seed: int, count: int = 50) -> Iterator[TierCost]:
    """Random costs of every shape, the same in each run."""
    random = Random(seed)
    for _ in range(count):
        lines = []
        for index in range(random.randint(1, 5)):
            usd = random.randint(1_000, 400_000)
            left = dec(random.randint(0, 99)) / 100  # the share that is depreciated over 48 months
            lines.append(bought(str(usd), str(usd * left / (48 * 730)), "nodes", f"servers {index}"))
        for index in range(random.randint(0, 5)):
            hourly = None if random.random() < 0.2 else str(dec(random.randint(1, 9_999)) / 1000)
            lines.append(paid(hourly, random.choice(["power", "storage", "network"]), f"line {index}"))
        yield cost_of(
            *lines, unpriced=tuple(line.name for line in lines if line.usd_per_hour is None), life="48"
        )
