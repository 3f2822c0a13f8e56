"""Starts a local cluster and brings a stack up on it."""

import signal

import typer

from tierup.cli.exits import examples
from tierup.cli.project import Stack, load_plan, project_folder

EXAMPLES = examples("tierup local up --stack entry")


def up(stack: Stack) -> None:
    """Start a cluster with the stack's servers, run `pulumi up` on a copy of the project, and print the tier.

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
