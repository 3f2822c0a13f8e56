"""Lists the entries of the catalogue."""

import json
from typing import Annotated

import typer

from tierup.cli.exits import console, examples
from tierup.cli.project import OptionalStack, catalog_of
from tierup.cli.tables import print_table
from tierup.report.catalog import Kind, overview, plain

EXAMPLES = examples(
    "tierup catalog list",
    "tierup catalog list gpus --stack standard",
    "tierup catalog list prices --json | jq .prices",
)


def list(  # noqa: A001 - the command's name
    kind: Annotated[Kind | None, typer.Argument(help="One kind", show_default="all", metavar="KIND")] = None,
    stack: OptionalStack = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object, with every value")] = False,
) -> None:
    """List the GPUs, servers, models and prices that a stack file may name.

    KIND is gpus, servers, models or prices. With --stack the GPUs and servers of the stack's `tierup:catalog` too.
    """
    catalog = catalog_of(stack)
    kinds = (kind,) if kind is not None else tuple(Kind)
    if as_json:
        print(json.dumps({str(item): plain(item, catalog) for item in kinds}, indent=2))
        return
    out = console()
    for item in kinds:
        columns, rows = overview(item, catalog)
        print_table(str(item), columns, rows, out)
