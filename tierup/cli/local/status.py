"""Lists the local clusters."""

import json
from dataclasses import asdict
from typing import Annotated

import typer

from tierup.cli.exits import examples

EXAMPLES = examples("tierup local status", "tierup local status --json")


def status(as_json: Annotated[bool, typer.Option("--json", help="One JSON list")] = False) -> None:
    """List the local clusters and their processes, and the stacks on clusters of yours."""
    from tierup.local.cluster import cluster as clusters
    from tierup.local.cluster.existing import ExistingCluster

    found = {name: ExistingCluster.load(name) for name in clusters.list_clusters()}
    clusters_found = [
        clusters.status(name) if existing is None else existing.status() for name, existing in found.items()
    ]
    if as_json:
        print(json.dumps([asdict(cluster) for cluster in clusters_found], indent=2, default=str))
        return
    if not clusters_found:
        typer.echo("no local cluster")
    for cluster in clusters_found:
        processes = ", ".join(
            f"{process} {pid if pid is not None else 'dead'}" for process, pid in cluster.pids.items()
        )
        state = "ready" if cluster.ready else "not ready"
        typer.echo(f"{cluster.name}: {state} at {cluster.server} ({processes or 'a cluster of yours'})")
        typer.echo(f"  KUBECONFIG={cluster.kubeconfig}")
