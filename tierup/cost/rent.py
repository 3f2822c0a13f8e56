"""The cost of the same GPUs rented: those of the servers that are up, in whole machines of each offer.

A cold spare has no rented twin: who rents gets another machine when one fails.
"""

import math
from dataclasses import dataclass
from decimal import Decimal

from tierup.catalog.price import HOURS_PER_MONTH, Price
from tierup.catalog.prices import Offer, Prices
from tierup.cost.types import Bill
from tierup.plan.model import Rental
from tierup.stack.sections import StandbyMode


@dataclass(frozen=True, slots=True)
class Rent:
    """So many machines of one offer; `usd_per_hour` of all of them, None: not priced."""

    price: Price
    offer: Offer
    machines: int

    @property
    def rental(self) -> Rental:
        """What the offer is: provider, region and term."""
        term = self.offer.term_months
        return Rental(self.offer.provider, self.offer.region, None if term is None else int(term))

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


def own_rent(server: str) -> str:
    """The id under which a stack quotes its own rent of one such server."""
    return f"rent-{server}"


def rented(bill: Bill, prices: Prices) -> tuple[Rent, ...]:
    """The stack's own offer and every one of the bill's GPU, the cheapest first; none for an unknown server."""
    server = prices.server(bill.server)
    if server is None or bill.server is None:
        return ()
    gpus = servers_up(bill) * server.gpus.value
    offers = {name: offer for name, offer in prices.offers.items() if offer.gpu == server.gpu}
    if (own := own_rent(bill.server)) in bill.quotes:
        asked = bill.rental if bill.rental is not None else Rental()
        provider = asked.provider if asked.provider is not None else "own quote"
        term = None if asked.term_months is None else Decimal(asked.term_months)
        offers[own] = Offer(
            gpu=server.gpu,
            gpus=Decimal(server.gpus.value),
            provider=provider,
            region=asked.region,
            term_months=term,
        )
    found = ((prices.find(name, bill.quotes), offer) for name, offer in offers.items())
    rents = [Rent(item, offer, math.ceil(gpus / offer.gpus)) for item, offer in found if item is not None]
    return tuple(
        sorted(rents, key=lambda rent: (rent.usd_per_hour is None, rent.usd_per_hour, rent.price.id))
    )


def chosen(bill: Bill, prices: Prices) -> Rent | None:
    """What a rented bill pays: the stack's own offer, else the cheapest that it asks for; None: there is none."""
    asked = bill.rental
    if asked is None or bill.server is None:
        return None
    offers = [rent for rent in rented(bill, prices) if rent.price.id == own_rent(bill.server)]
    return next(iter(offers or (rent for rent in rented(bill, prices) if _fits(rent.offer, asked))), None)


def _fits(offer: Offer, asked: Rental) -> bool:
    """Whether it is an offer of what the stack file asks for; names are compared without their case.

    A spot machine may be taken back at any time, and a service must stay up: no bill rests on one.
    """
    wanted = ((asked.provider, offer.provider), (asked.region, offer.region))
    same = all(want is None or (has or "").casefold() == want.casefold() for want, has in wanted)
    return same and not offer.spot and offer.term_months == asked.term_months


def servers_up(bill: Bill) -> int:
    """Servers that run: those in service, and warm spares."""
    return bill.in_service + (bill.standby if bill.standby_mode is StandbyMode.WARM else 0)
