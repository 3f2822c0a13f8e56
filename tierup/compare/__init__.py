"""Compares tiers with each other and with the claims of the hardware guide.

`compare(plans, catalog, claims)` computes the figures; `table` has them as rows and `summary` as plain data.
`tierup.report` renders them as pages and charts.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from tierup.catalog import Catalog
from tierup.catalog.claims import GuideClaim
from tierup.compare.claims import CheckedClaim, check_claim
from tierup.compare.tiers import Tier, tier_of
from tierup.plan.model import Plan

__all__ = ["CheckedClaim", "Comparison", "Tier", "compare"]


@dataclass(frozen=True, slots=True)
class Comparison:
    """Tiers ordered by the price of their servers and spares, and the guide's single figures in its order."""

    tiers: tuple[Tier, ...]
    claims: tuple[CheckedClaim, ...]


def compare(plans: Iterable[Plan], catalog: Catalog, claims: Mapping[str, GuideClaim]) -> Comparison:
    """Compute the comparison; the plans must have no errors."""
    tiers = sorted(map(tier_of, plans), key=lambda tier: (tier.capex_usd.p50, tier.name))
    return Comparison(
        tuple(tiers), tuple(check_claim(name, claim, catalog) for name, claim in claims.items())
    )
