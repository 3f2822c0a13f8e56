"""Money as a report shows it, for tests that compare texts with figures."""

from decimal import Decimal

from tierup.cost.report.figures import CurrencyOut
from tierup.plan.model import DOLLARS


def usd(value: Decimal | None, digits: int = 2) -> str:
    """Dollars with so many decimals."""
    return CurrencyOut.of(DOLLARS).text(value, digits)
