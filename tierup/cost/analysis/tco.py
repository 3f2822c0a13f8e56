"""The cost of a tier over three years: bought, bought again when worn out, run, and what it is then worth.

What is bought loses its value evenly over its life, as its hourly part says, so the total is that of the hours:
this splits it into what is paid when, and what is left.
"""

from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal

from tierup.catalog.price import HOURS_PER_MONTH
from tierup.cost.types import Kind, Line, TierCost

THREE_YEARS = Decimal(36)  # months


@dataclass(frozen=True, slots=True)
class TotalCost:
    """USD over `months`. `replacement_usd` is what new ones cost above what the old ones bring.

    `residual_usd` is the value at the end, `unpriced` what the sums leave out.
    """

    months: Decimal
    purchase_usd: Decimal
    replacement_usd: Decimal
    opex_usd: Decimal
    residual_usd: Decimal
    unpriced: tuple[str, ...]

    @property
    def total_usd(self) -> Decimal:
        return self.purchase_usd + self.replacement_usd + self.opex_usd - self.residual_usd


@dataclass(frozen=True, slots=True)
class Bought:
    """One purchase: USD at once, USD of value lost per month, and the months after which it is replaced."""

    usd: Decimal
    loss: Decimal
    life: Decimal

    @property
    def again(self) -> Decimal:
        """A new one for the old one: what it has lost in its life."""
        return self.loss * self.life

    def replacements(self, months: Decimal) -> int:
        """How often it is bought again before the end."""
        return int((months / self.life).to_integral_value(ROUND_CEILING)) - 1

    def worth(self, months: Decimal) -> Decimal:
        """Of the one that is there at the end."""
        age = months - self.replacements(months) * self.life
        return self.usd - self.loss * age


def total_cost(cost: TierCost, life: Decimal, months: Decimal = THREE_YEARS) -> TotalCost:
    """Over so many months; `life`: months after which what is bought is replaced."""
    bought = purchases(cost, life)
    return TotalCost(
        months=months,
        purchase_usd=sum((item.usd for item in bought), Decimal(0)),
        replacement_usd=sum((item.again * item.replacements(months) for item in bought), Decimal(0)),
        opex_usd=running(cost) * HOURS_PER_MONTH * months,
        residual_usd=sum((item.worth(months) for item in bought), Decimal(0)),
        unpriced=cost.unpriced,
    )


def purchases(cost: TierCost, life: Decimal) -> tuple[Bought, ...]:
    """Everything that is paid at once."""
    return tuple(
        Bought(line.purchase_usd, line.usd_per_hour * HOURS_PER_MONTH, life)
        for line in cost.lines
        if _is_bought(line) and line.purchase_usd is not None and line.usd_per_hour is not None
    )


def running(cost: TierCost) -> Decimal:
    """USD per hour of everything that is paid as it runs."""
    paid = (line.usd_per_hour for line in cost.lines if not _is_bought(line))
    return sum((usd for usd in paid if usd is not None), Decimal(0))


def _is_bought(line: Line) -> bool:
    return line.kind is Kind.CAPEX and line.purchase_usd is not None
