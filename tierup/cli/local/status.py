"""Lists the local clusters."""

import json
from dataclasses import asdict
from typing import Annotated

import typer

from tierup.cli.exits import examples

EXAMPLES = examples("tierup local status", "tierup local status --json")


def status(as_json: Annotated[bool, typer.Option("--json", help="One JSON list")] = False) -> None:
    """List the local clusters and their processes."""
    from tierup.local.cluster import cluster as clusters

    everything = [clusters.status(name) for name in clusters.list_clusters()]
    if as_json:
        print(json.dumps([asdict(found) for found in everything], indent=2, default=str))
        return
    if not everything:
        typer.echo("no local cluster")
    for found in everything:
        processes = ", ".join(
            f"{part} {pid if pid is not None else 'dead'}" for part, pid in found.pids.items()
        )
        typer.echo(f"{found.name}: {'ready' if found.ready else 'not ready'} at {found.server} ({processes})")
        typer.echo(f"  KUBECONFIG={found.kubeconfig}")
