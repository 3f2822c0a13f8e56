"""Decides nothing: the shape of one price."""

import datetime
from dataclasses import dataclass
from decimal import Decimal


@dataclass(frozen=True, slots=True)
class Price:
    """One price of the catalogue or a stack's own quote; `value` None: not priced, which is never zero."""

    id: str
    value: Decimal | None
    unit: str
    source: str
    as_of: datetime.date
    confidence: str
    low: Decimal | None = None
    high: Decimal | None = None
    quoted: bool = False
