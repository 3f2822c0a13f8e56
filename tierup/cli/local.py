"""Runs a stack on a local cluster with simulated GPU nodes: the real engine, provider, API server and scheduler."""

import signal
from typing import Annotated

import typer

from tierup.cli.project import Stack, UsageError, load_plan, project_folder

app = typer.Typer(
    help="A local cluster with simulated GPU nodes: nothing of it needs a GPU, root or Docker.",
    no_args_is_help=True,
)


@app.command()
def up(stack: Stack) -> None:
    """Start a cluster, rack the stack's servers, run `pulumi up` on a scratch copy, and show the tier.

    Running it again applies what changed in the stack file.
    """
    from tierup.cli.tier_page import show
    from tierup.local.cluster import Cluster
    from tierup.local.data_centre import provide
    from tierup.local.project import LocalProject

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


@app.command()
def down(
    stack: Annotated[
        str | None, typer.Option("--stack", "-s", help="The stack whose cluster is removed")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Remove every local cluster")] = False,
) -> None:
    """End a local cluster's processes and remove its data."""
    from tierup.local import cluster as clusters

    if (stack is None) == (not everything):
        raise UsageError("name one stack (--stack), or all of them (--all)")
    names = clusters.list_clusters() if stack is None else [stack]
    for name in names:
        typer.echo(
            f"local cluster {name}: {'removed' if clusters.down(name, echo=typer.echo) else 'was not there'}"
        )


@app.command()
def status() -> None:
    """List the local clusters and their processes."""
    from tierup.local import cluster as clusters

    names = clusters.list_clusters()
    if not names:
        typer.echo("no local cluster")
    for name in names:
        found = clusters.status(name)
        processes = ", ".join(
            f"{part} {pid if pid is not None else 'dead'}" for part, pid in found.pids.items()
        )
        typer.echo(f"{name}: {'ready' if found.ready else 'not ready'} at {found.server} ({processes})")
        typer.echo(f"  KUBECONFIG={found.kubeconfig}")


@app.command()
def env(stack: Stack) -> None:
    """Print shell lines that point kubectl and pulumi at a local stack: eval "$(tierup local env --stack standard)"."""
    import shlex

    from tierup.local.cluster import Cluster
    from tierup.local.project import LocalProject

    project = LocalProject(project_folder(), stack, Cluster.load(stack))
    wanted = {
        key: value
        for key, value in project.environment().items()
        if key.startswith("PULUMI_") or key == "PATH"
    }
    for key, value in {**wanted, "KUBECONFIG": str(project.cluster.kubeconfig)}.items():
        print(f"export {key}={shlex.quote(value)}")
    print(f"cd {shlex.quote(str(project.folder))}")
