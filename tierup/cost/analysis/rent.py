"""The cost of the same GPUs rented: those of the servers that are up, in whole machines of each offer.

A cold spare has no rented twin: who rents gets another machine when one fails.
"""

import math
from dataclasses import dataclass
from decimal import Decimal

from tierup.catalog.price import Price
from tierup.catalog.prices import Offer, Prices
from tierup.cost.types import HOURS_PER_MONTH, Bill
from tierup.stack.sections import StandbyMode


@dataclass(frozen=True, slots=True)
class Rent:
    """So many machines of one offer; `usd_per_hour` of all of them, None: not priced."""

    price: Price
    offer: Offer
    machines: int

    @property
    def gpus(self) -> int:
        """GPUs that are paid for: whole machines, so perhaps more than are needed."""
        return self.machines * int(self.offer.gpus)

    @property
    def usd_per_gpu_hour(self) -> Decimal | None:
        return None if self.price.value is None else self.price.value / self.offer.gpus

    @property
    def usd_per_hour(self) -> Decimal | None:
        return None if self.price.value is None else self.price.value * self.machines

    @property
    def usd_per_month(self) -> Decimal | None:
        return None if self.usd_per_hour is None else self.usd_per_hour * HOURS_PER_MONTH


def rented(bill: Bill, prices: Prices) -> tuple[Rent, ...]:
    """Every offer of the bill's GPU, the cheapest first; none for a server that is not in the catalogue."""
    server = prices.server(bill.server)
    if server is None:
        return ()
    up = bill.in_service + (bill.standby if bill.standby_mode is StandbyMode.WARM else 0)
    gpus = up * server.gpus.value
    rents = [
        Rent(bill.quotes.get(name, prices.by_id[name]), offer, math.ceil(gpus / offer.gpus))
        for name, offer in prices.offers.items()
        if offer.gpu == server.gpu
    ]
    return tuple(
        sorted(rents, key=lambda rent: (rent.usd_per_hour is None, rent.usd_per_hour, rent.price.id))
    )
