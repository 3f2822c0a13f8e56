"""Removes local clusters."""

from typing import Annotated

import typer

from tierup.cli.exits import UsageError, examples
from tierup.cli.project import OptionalStack, stack_name

EXAMPLES = examples("tierup local down --stack entry", "tierup local down --all")


def down(
    stack: OptionalStack = None,
    everything: Annotated[bool, typer.Option("--all", help="Remove every local cluster")] = False,
    forget: Annotated[
        bool, typer.Option("--forget", help="Leave the stack on a cluster of yours that is gone")
    ] = False,
) -> None:
    """End a local cluster's processes and remove its data; from a cluster of yours, remove the stack."""
    from tierup.local.cluster import cluster as clusters
    from tierup.local.cluster.existing import ExistingCluster

    if (stack is None) == (not everything):
        raise UsageError("name one stack (--stack), or all of them (--all)")
    names = clusters.list_clusters() if stack is None else [stack_name(stack)]
    for name in names:
        existing = ExistingCluster.load(name)
        if existing is not None:
            existing.down(typer.echo, forget)
            what = "forgotten; the stack is still on it" if forget else "removed from it"
            typer.echo(f"{name}, in context '{existing.context}': {what}")
            continue
        removed = clusters.down(name, echo=typer.echo)
        typer.echo(f"local cluster {name}: {'removed' if removed else 'was not there'}")
