"""Decides how tiers stand side by side, and each beside what the hardware guide says of it.

`compare(plans, catalog, claims)` gives the figures; `table` says them in rows, `summary` as data;
`tierup.report` tells them to a page and to the eye.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from tierup.catalog import Catalog
from tierup.catalog.claims import GuideClaim
from tierup.compare.claims import Checked, checked
from tierup.compare.tiers import Tier, tier_of
from tierup.plan.model import Plan

__all__ = ["Checked", "Comparison", "Tier", "compare"]


@dataclass(frozen=True, slots=True)
class Comparison:
    """Tiers by price of their servers and spares, and the guide's single figures in its own order."""

    tiers: tuple[Tier, ...]
    claims: tuple[Checked, ...]


def compare(plans: Iterable[Plan], catalog: Catalog, claims: Mapping[str, GuideClaim]) -> Comparison:
    """All figures of the comparison; the plans are without errors."""
    tiers = sorted(map(tier_of, plans), key=lambda tier: (tier.capex_usd.p50, tier.name))
    return Comparison(tuple(tiers), tuple(checked(name, claim, catalog) for name, claim in claims.items()))
