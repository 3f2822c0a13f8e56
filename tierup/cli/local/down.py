"""Removes local clusters."""

from typing import Annotated

import typer

from tierup.cli.exits import UsageError, examples
from tierup.cli.project import OptionalStack, stack_name

EXAMPLES = examples("tierup local down --stack entry", "tierup local down --all")


def down(
    stack: OptionalStack = None,
    everything: Annotated[bool, typer.Option("--all", help="Remove every local cluster")] = False,
) -> None:
    """End a local cluster's processes and remove its data."""
    from tierup.local.cluster import cluster as clusters

    if (stack is None) == (not everything):
        raise UsageError("name one stack (--stack), or all of them (--all)")
    names = clusters.list_clusters() if stack is None else [stack_name(stack)]
    for name in names:
        typer.echo(
            f"local cluster {name}: {'removed' if clusters.down(name, echo=typer.echo) else 'was not there'}"
        )
