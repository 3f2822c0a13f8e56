"""GPUs and servers that a stack brings itself, in the form of gpus.yaml and servers.yaml, in one document.

The document has `sources`, and `gpus`, `servers` or both. Each entry is read by itself: a bad one hides no other.
"""

import datetime
import re
from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from tierup.catalog import (
    Catalog,
    EntryProblem,
    Gpu,
    Report,
    Server,
    Source,
    _Loader,
    read_document,
    resolved_tree,
    sources_of,
    validated,
)
from tierup.catalog.prices import load_prices
from tierup.findings.model import did_you_mean

TABLES = ("sources", "gpus", "servers")
MOST_BYTES = 256 * 1024  # of a file with such entries
_ID = re.compile(r"[a-z0-9]([-a-z0-9.]{0,61}[a-z0-9])?")
_DATE = re.compile(r"\d{4}-\d\d-\d\d")


def read_text_of_own(text: str) -> tuple[Mapping[str, Any], list[EntryProblem]]:
    """The document of a file's text, empty if it has a problem. Aliases are refused: they can grow without end."""
    problems: list[EntryProblem] = []
    try:
        if any(isinstance(token, yaml.AliasToken) for token in yaml.scan(text, Loader=_Loader)):
            return {}, [EntryProblem("", "uses an alias (`*name`)", "write the value out")]
        document = read_document(text, problems.append)
    except (yaml.YAMLError, RecursionError) as error:
        return {}, [EntryProblem("", f"is not YAML: {' '.join(str(error).split())}", "correct it")]
    if problems:
        return {}, problems
    if not isinstance(document, dict) or not document:
        return {}, [
            EntryProblem("", "is not a mapping", "write sources, gpus and servers", None, ", ".join(TABLES))
        ]
    return document, []


def with_entries(
    document: Mapping[str, Any], catalog: Catalog, day: datetime.date | None
) -> tuple[Catalog, tuple[EntryProblem, ...]]:
    """The catalogue with the entries that are valid, and what is wrong with the others.

    A source after `day` lies in the future; None: none does.
    """
    reader = _Reader(catalog)
    return reader.read(document, day), tuple(reader.problems)


class _Reader:
    """Reads one document."""

    def __init__(self, catalog: Catalog) -> None:
        self.catalog = catalog
        self.problems: list[EntryProblem] = []
        self._report: Report = self.problems.append

    def read(self, document: Mapping[str, Any], day: datetime.date | None) -> Catalog:
        for key in document.keys() - set(TABLES):
            fix = did_you_mean(str(key), TABLES) or "remove it"
            self._report(EntryProblem(str(key), "there is no such table", fix, None, ", ".join(TABLES)))
        tables = {key: self._table(document, key) for key in TABLES}
        sources = self._sources(tables["sources"], day)
        gpus = self._entries("gpus", Gpu, tables["gpus"], sources)
        known = {**self.catalog.gpus, **gpus}
        # A server with a GPU that is here but bad is not blamed for it.
        servers = self._entries("servers", Server, tables["servers"], sources)
        for name, server in list(servers.items()):
            if server.gpu not in known:
                del servers[name]
                if server.gpu not in tables["gpus"]:
                    fix = did_you_mean(server.gpu, known) or "use one of them, or add it under gpus"
                    allowed = ", ".join(known)
                    where = f"servers.{name}.gpu"
                    self._report(
                        EntryProblem(where, "the catalogue has no such GPU", fix, server.gpu, allowed)
                    )
        update = {"gpus": known, "servers": {**self.catalog.servers, **servers}}
        return self.catalog.model_copy(update=update)

    def _table(self, document: Mapping[str, Any], key: str) -> Mapping[str, Any]:
        table = document.get(key)
        if table is None:
            return {}
        if not isinstance(table, dict):
            self._report(
                EntryProblem(
                    key, "has the wrong type", "write one entry by its id", f"{table!r:.60}", "a mapping"
                )
            )
            return {}
        return {str(name): _with_dates(entry) for name, entry in table.items()}

    def _sources(self, rows: Mapping[str, Any], day: datetime.date | None) -> Mapping[str, Any]:
        sources = sources_of(rows, self._report)
        for name, source in sources.items():
            if isinstance(source, Source) and day is not None and source.as_of > day:
                where, fix = f"sources.{name}.as_of", "write the day that the document bears"
                self._report(EntryProblem(where, "lies in the future", fix, str(source.as_of), "up to today"))
        return sources

    def _entries(
        self, table: str, kind: Any, rows: Mapping[str, Any], sources: Mapping[str, Any]
    ) -> dict[str, Any]:
        """The valid entries of a table."""
        found = {}
        for name, row in rows.items():
            where = f"{table}.{name}"
            problems = list(self._name(where, name))
            if not problems:
                tree = resolved_tree(row, sources, where, problems.append)
                entry = validated(kind, tree, problems.append, where)
            if problems:
                self.problems.extend(_together(problems))
            else:
                found[name] = entry
        return found

    def _name(self, where: str, name: str) -> Iterator[EntryProblem]:
        catalog = self.catalog
        if name in {*catalog.gpus, *catalog.servers, *catalog.models, *load_prices().by_id}:
            yield EntryProblem(where, "the catalogue has this name already", "give it another name", name)
        elif _ID.fullmatch(name) is None:
            allowed = "lower-case letters, digits, '-' and '.', at most 63 characters"
            yield EntryProblem(where, "is not a name", "write it like rtx-4090", f"{name!r:.70}", allowed)


def _together(problems: list[EntryProblem]) -> Iterator[EntryProblem]:
    """The problems, with those of values that are missing at one place in one."""
    missing: dict[str, list[str]] = {}
    for item in problems:
        if item.what == "missing":
            where, _, key = item.where.rpartition(".")
            missing.setdefault(where, []).append(key)
        else:
            yield item
    for where, keys in missing.items():
        yield EntryProblem(where, f"lacks {', '.join(keys)}", "add what is missing, as docs/catalog.md shows")


def _with_dates(tree: Any) -> Any:
    """The tree with the dates that are written as text, as a stack file and Pulumi's engine have them."""
    if isinstance(tree, list):
        return [_with_dates(item) for item in tree]
    if not isinstance(tree, dict):
        return tree
    return {key: _date(value) if key == "as_of" else _with_dates(value) for key, value in tree.items()}


def _date(value: Any) -> Any:
    try:
        return (
            datetime.date.fromisoformat(value) if isinstance(value, str) and _DATE.fullmatch(value) else value
        )
    except ValueError:
        return value  # not a day of the calendar: reported with its path
