"""Storage provisioners that cannot share one file system between nodes; the data is in provisioners.yaml."""

import functools
from fnmatch import fnmatchcase
from typing import Literal

from tierup.catalog import CatalogError, Sourced, parse_table, text_of

Limit = Literal["never", "one-node", "by-hand"]
ONE_NODE: Limit = "one-node"
BY_HAND: Limit = "by-hand"


def limit_of(provisioner: str) -> Limit | None:
    """The limit of a StorageClass's provisioner; None if it is not in the table, so it may serve many nodes."""
    limits = (entry.value for name, entry in load_provisioners().items() if fnmatchcase(provisioner, name))
    return next(limits, None)


@functools.cache
def load_provisioners() -> dict[str, Sourced[Limit]]:
    """The table of provisioners.yaml; raises `CatalogError` with all problems."""
    problems: list[str] = []
    text = text_of("provisioners.yaml")
    table = parse_table("provisioners", Sourced[Limit], text, problems)
    if problems:
        raise CatalogError(problems)
    return table
