"""One price."""

import datetime
from dataclasses import dataclass
from decimal import Decimal

HOURS_PER_MONTH = Decimal(730)  # a twelfth of a year


@dataclass(frozen=True, slots=True)
class Price:
    """One price of the catalogue, or a quote of a stack. `value` is None if there is no price; that is not zero.

    `looked_up` is the day on which the source was read, if it is known. Where it is `as_of` too, the source gives the
    price no date of its own.
    """

    id: str
    value: Decimal | None
    unit: str
    source: str
    as_of: datetime.date
    confidence: str
    low: Decimal | None = None
    high: Decimal | None = None
    quoted: bool = False
    looked_up: datetime.date | None = None

    @property
    def own_date(self) -> datetime.date | None:
        """The price's own date; None where its source gives none."""
        return None if self.looked_up == self.as_of else self.as_of


def dated(own_date: datetime.date | None, looked_up: datetime.date | None) -> str:
    """A price's own date and the day it was looked up, as far as they are known, for people."""
    own = "no date of its own" if own_date is None else own_date.isoformat()
    return own if looked_up is None else f"{own}, looked up {looked_up}"
