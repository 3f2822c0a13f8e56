"""Compares tiers with each other and with the claims of the hardware guide.

`compare(plans, catalog, claims)` computes the figures; `table` has them as rows and `summary` as plain data.
`tierup.report` renders them as pages and charts.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from tierup.catalog import Catalog
from tierup.catalog.claims import GuideClaim
from tierup.compare.claims import CheckedClaim, check_claim
from tierup.compare.tiers import Tier, TierModel, tier_of
from tierup.plan.model import Plan

__all__ = ["CheckedClaim", "Comparison", "Skipped", "Tier", "TierModel", "compare"]


@dataclass(frozen=True, slots=True)
class Skipped:
    """A stack that is not compared, and what is wrong with it."""

    stack: str
    problem: str


@dataclass(frozen=True, slots=True)
class Comparison:
    """Tiers ordered by the price of their servers and spares, and the guide's single figures in its order."""

    tiers: tuple[Tier, ...]
    claims: tuple[CheckedClaim, ...]
    skipped: tuple[Skipped, ...] = ()

    @property
    def columns(self) -> tuple[TierModel, ...]:
        """Every model of every tier."""
        return tuple(model for tier in self.tiers for model in tier.models)


def compare(
    plans: Iterable[Plan],
    catalog: Catalog,
    claims: Mapping[str, GuideClaim],
    skipped: Iterable[Skipped] = (),
) -> Comparison:
    """Compute the comparison; the plans must have no errors."""
    tiers = sorted(map(tier_of, plans), key=lambda tier: (tier.weakest.capex_usd.p50, tier.name))
    checked = tuple(check_claim(name, claim, catalog) for name, claim in claims.items())
    return Comparison(tuple(tiers), checked, tuple(skipped))
