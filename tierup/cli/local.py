"""Runs a stack on a local cluster with simulated GPU nodes: the real engine, provider, API server and scheduler."""

import json
import signal
from dataclasses import asdict
from typing import Annotated

import typer

from tierup.cli.exits import UsageError, examples
from tierup.cli.project import Stack, load_plan, project_folder, stacks_here

app = typer.Typer(
    help="A local cluster with simulated GPU nodes: nothing of it needs a GPU, root or Docker.",
    no_args_is_help=True,
    epilog=examples("tierup local up --stack standard", "tierup local down --all"),
)


@app.command(epilog=examples("tierup local up --stack entry"))
def up(stack: Stack) -> None:
    """Start a cluster, rack the stack's servers, run `pulumi up` on a scratch copy, and show the tier.

    Running it again applies what changed in the stack file.
    """
    from tierup.cli.tier_page import show
    from tierup.local.cluster.cluster import Cluster
    from tierup.local.cluster.data_centre import provide
    from tierup.local.cluster.project import LocalProject

    signal.signal(signal.SIGTERM, signal.default_int_handler)
    plan = load_plan(stack)
    for finding in plan.findings:
        typer.echo(f"{finding.severity}: {finding}")
    cluster = Cluster.up(stack, echo=typer.echo)
    project = LocalProject(project_folder(), stack, cluster)
    project.clear_dead_lock(typer.echo)
    provide(cluster.api, plan)
    typer.echo(f"servers: {', '.join((*plan.nodes.in_service, *plan.nodes.standby))} (simulated)")
    project.prepare()
    project.up(typer.echo)
    show(plan, project)


@app.command(epilog=examples("tierup local down --stack entry", "tierup local down --all"))
def down(
    stack: Annotated[
        str | None,
        typer.Option("--stack", "-s", help="The stack whose cluster is removed", autocompletion=stacks_here),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Remove every local cluster")] = False,
) -> None:
    """End a local cluster's processes and remove its data."""
    from tierup.local.cluster import cluster as clusters

    if (stack is None) == (not everything):
        raise UsageError("name one stack (--stack), or all of them (--all)")
    names = clusters.list_clusters() if stack is None else [stack]
    for name in names:
        typer.echo(
            f"local cluster {name}: {'removed' if clusters.down(name, echo=typer.echo) else 'was not there'}"
        )


@app.command(epilog=examples("tierup local status", "tierup local status --json"))
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


@app.command(epilog=examples('eval "$(tierup local env --stack standard)"'))
def env(stack: Stack) -> None:
    """Print shell lines that point kubectl and pulumi at a local stack."""
    import shlex

    from tierup.local.cluster.cluster import Cluster
    from tierup.local.cluster.project import LocalProject

    project = LocalProject(project_folder(), stack, Cluster.load(stack))
    wanted = {
        key: value
        for key, value in project.environment().items()
        if key.startswith("PULUMI_") or key == "PATH"
    }
    for key, value in {**wanted, "KUBECONFIG": str(project.cluster.kubeconfig)}.items():
        print(f"export {key}={shlex.quote(value)}")
    print(f"cd {shlex.quote(str(project.folder))}")
