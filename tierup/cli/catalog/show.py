"""Shows one entry of the catalogue."""

import json
from typing import Annotated

import typer

from tierup.catalog import load_catalog
from tierup.cli.exits import UsageError, console, examples
from tierup.cli.project import OptionalStack, catalog_of
from tierup.cli.tables import print_table
from tierup.findings.model import did_you_mean
from tierup.report.catalog import COLUMNS, details, known, plain

EXAMPLES = examples("tierup catalog show qwen2.5-7b", "tierup catalog show electricity --json")


def _ids() -> tuple[str, ...]:
    return tuple(known(load_catalog()))


def show(
    name: Annotated[str, typer.Argument(help="Its id in `tierup catalog list`", autocompletion=_ids)],
    stack: OptionalStack = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object")] = False,
) -> None:
    """Show every value of a GPU, a server, a model or a price, with its source and date.

    With --stack also of the GPUs and servers of the stack's `tierup:catalog`.
    """
    catalog = catalog_of(stack)
    ids = known(catalog)
    kind = ids.get(name)
    if kind is None:
        fix = did_you_mean(name, ids) or "`tierup catalog list` prints all of them"
        raise UsageError(f"the catalogue has no entry '{name}' - {fix}")
    if as_json:
        print(json.dumps({"kind": str(kind), "id": name, "entry": plain(kind, catalog)[name]}, indent=2))
        return
    print_table(f"{kind}: {name}", COLUMNS, details(kind, name, catalog), console())
