"""One price."""

import datetime
from dataclasses import dataclass
from decimal import Decimal


@dataclass(frozen=True, slots=True)
class Price:
    """One price of the catalogue, or a quote of a stack. `value` is None if there is no price; that is not zero."""

    id: str
    value: Decimal | None
    unit: str
    source: str
    as_of: datetime.date
    confidence: str
    low: Decimal | None = None
    high: Decimal | None = None
    quoted: bool = False
