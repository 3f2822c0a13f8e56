"""Starts a local cluster and brings a stack up on it."""

import signal
from enum import StrEnum
from typing import Annotated

import typer

from tierup.cli.exits import UsageError, examples
from tierup.cli.project import Stack, local_plan, project_folder, stack_file, stack_name

EXAMPLES = examples(
    "tierup local up --stack entry",
    "tierup local up --stack entry --node real",
    "tierup local up --stack wide --node real --nodes 2",
)


class NodeKind(StrEnum):
    """What the servers in service are."""

    SIMULATED = "simulated"
    REAL = "real"


def up(
    stack: Stack,
    node: Annotated[
        NodeKind,
        typer.Option(help="`simulated`: pods are only scheduled. `real`: this machine runs them, as root"),
    ] = NodeKind.SIMULATED,
    nodes: Annotated[
        int | None,
        typer.Option(
            help="Real nodes at most; further servers are simulated", min=1, max=9, show_default="1"
        ),
    ] = None,
) -> None:
    """Start a cluster with the stack's servers, run `pulumi up` on a copy of the project, and print the tier.

    Running it again applies what changed in the stack file.
    """
    from tierup.cli.tier_page import show
    from tierup.local.cluster.cluster import Cluster
    from tierup.local.cluster.data_centre import provide, real_servers, with_images
    from tierup.local.cluster.project import LocalProject
    from tierup.local.node import FOOTPRINT

    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if nodes is not None and node is not NodeKind.REAL:
        raise UsageError("--nodes counts real nodes - add `--node real`")
    plan, name = local_plan(stack), stack_name(stack)
    for finding in plan.findings:
        typer.echo(f"{finding.severity}: {finding}")
    real = with_images(real_servers(plan, nodes or 1), plan, typer.echo) if node is NodeKind.REAL else []
    if real:
        typer.echo(f"a real node makes on this machine, until `tierup local down`: {FOOTPRINT}")
    cluster = Cluster.up(name, echo=typer.echo, real_nodes=real)
    project = LocalProject(
        project_folder(), name, cluster, stack_source=stack_file(stack), secrets=plan.secrets
    )
    project.clear_dead_lock(typer.echo)
    provide(cluster, plan, typer.echo)
    for server in real:
        typer.echo(f"server: {server.name} (real; it claims the hardware of {plan.nodes.server_id})")
    if simulated := (*plan.nodes.in_service, *plan.nodes.standby)[len(real) :]:
        typer.echo(f"servers: {', '.join(simulated)} (simulated)")
    project.prepare()
    project.up(typer.echo)
    show(plan, project)
