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

    clusters_found = [clusters.status(name) for name in clusters.list_clusters()]
    if as_json:
        print(json.dumps([asdict(cluster) for cluster in clusters_found], indent=2, default=str))
        return
    if not clusters_found:
        typer.echo("no local cluster")
    for cluster in clusters_found:
        processes = ", ".join(
            f"{process} {pid if pid is not None else 'dead'}" for process, pid in cluster.pids.items()
        )
        typer.echo(
            f"{cluster.name}: {'ready' if cluster.ready else 'not ready'} at {cluster.server} ({processes})"
        )
        typer.echo(f"  KUBECONFIG={cluster.kubeconfig}")
