"""Which storage provisioners cannot give one file system to several nodes; the data stands in provisioners.yaml."""

import functools
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Literal

from tierup.catalog import CatalogError, Sourced, parse_table

Limit = Literal["never", "one-node", "by-hand"]
ONE_NODE: Limit = "one-node"
BY_HAND: Limit = "by-hand"


def limits_of(provisioner: str) -> Limit | None:
    """What is known of a StorageClass's provisioner; None for all others, which may well serve many nodes."""
    known = (entry.value for name, entry in load_provisioners().items() if fnmatchcase(provisioner, name))
    return next(known, None)


@functools.cache
def load_provisioners() -> dict[str, Sourced[Limit]]:
    """The table beside this module; raises `CatalogError` with everything wrong in it."""
    problems: list[str] = []
    text = Path(__file__).with_name("provisioners.yaml").read_text(encoding="utf-8")
    table = parse_table("provisioners", Sourced[Limit], text, problems)
    if problems:
        raise CatalogError(problems)
    return table
