"""GPUs and servers that a stack file brings itself: the catalogue with them, and what is wrong with them."""

import datetime
from collections.abc import Mapping
from typing import Any

from tierup.catalog import Catalog, EntryProblem, Server
from tierup.catalog.own import TABLES, read_text_of_own, with_entries
from tierup.catalog.prices import load_prices
from tierup.plan.model import NodePlan
from tierup.stack.parse import Attached
from tierup.stack.sections import OwnCatalog


def with_own_hardware(
    section: OwnCatalog | None, files: Mapping[str, Attached], catalog: Catalog, day: datetime.date | None
) -> tuple[Catalog, tuple[EntryProblem, ...]]:
    """The catalogue with the valid entries of the section `catalog`, and the problems of the others."""
    if section is None or section == OwnCatalog():
        return catalog, ()
    document, problems = _document(section, files)
    if problems:
        return catalog, tuple(problems)
    return with_entries(document, catalog, day)


def may_declare(section: OwnCatalog | None, files: Mapping[str, Attached], server: str) -> bool:
    """Whether the section has a server of this name, valid or not, or cannot be read at all."""
    if section is None:
        return False
    document, problems = _document(section, files)
    servers = document.get("servers")
    return bool(problems) or (isinstance(servers, dict) and server in servers)


def own_servers(nodes: NodePlan) -> dict[str, Server]:
    """The stack's kind of server by its name, if it is not one of the catalogue."""
    return {} if nodes.server_id in load_prices().servers else {nodes.server_id: nodes.server}


def _document(
    section: OwnCatalog, files: Mapping[str, Attached]
) -> tuple[Mapping[str, Any], list[EntryProblem]]:
    inline = {key: table for key in TABLES if (table := getattr(section, key)) is not None}
    if section.file is None:
        return inline, []
    if inline:
        fix = "move them into the file, or leave file out"
        return {}, [EntryProblem("file", "the other keys are here too", fix, ", ".join(inline))]
    file = files.get(section.file)
    if file is None:
        return {}, [
            EntryProblem("file", "cannot be read from here", "write the entries inline", section.file)
        ]
    if file.problem is not None:
        return {}, [EntryProblem("file", f"the file {file.problem}", file.fix, section.file)]
    document, problems = read_text_of_own(file.text)
    named = [
        item._replace(where=item.where or "file", got=item.got if item.got is not None else section.file)
        for item in problems
    ]
    return document, named
