"""Starts a local cluster and brings a stack up on it, or on a cluster of the user's."""

from __future__ import annotations

import signal
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tierup.cli.exits import UsageError, examples
from tierup.cli.project import Stack, local_plan, project_folder, stack_file, stack_name

EXAMPLES = examples(
    "tierup local up --stack entry",
    "tierup local up --stack entry --node real",
    "tierup local up --stack wide --node real --nodes 2",
    "tierup local up --stack mine --kubeconfig ~/.kube/config --context kind-mine",
)

if TYPE_CHECKING:
    from tierup.local.cluster.cluster import Cluster
    from tierup.local.cluster.existing import ExistingCluster
    from tierup.local.cluster.project import LocalProject
    from tierup.plan.model import Plan


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
    kubeconfig: Annotated[
        Path | None,
        typer.Option(help="A cluster of yours, instead of one on this machine"),
    ] = None,
    context: Annotated[
        str | None, typer.Option(help="Its context in that file", show_default="the current one")
    ] = None,
) -> None:
    """Start a cluster with the stack's servers, run `pulumi up` on a copy of the project, and print the tier.

    Running it again applies what changed in the stack file.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if nodes is not None and node is not NodeKind.REAL:
        raise UsageError("--nodes counts real nodes - add `--node real`")
    if kubeconfig is None and context is not None:
        raise UsageError("--context is of a kubeconfig - add `--kubeconfig`")
    if kubeconfig is not None and node is NodeKind.REAL:
        raise UsageError(
            "--node makes a node on this machine, and --kubeconfig uses a cluster of yours - choose one"
        )
    plan = local_plan(stack)
    for finding in plan.findings:
        typer.echo(f"{finding.severity}: {finding}")
    from tierup.cli.tier_page import show  # only now: a wrong option is refused at once

    project: LocalProject[Cluster] | LocalProject[ExistingCluster]
    if kubeconfig is not None:
        project = _on_existing(stack, plan, kubeconfig, context)
    else:
        project = _on_this_machine(stack, plan, (nodes or 1) if node is NodeKind.REAL else 0)
    project.prepare()
    project.up(typer.echo)
    show(plan, project)


def _on_existing(
    stack: str, plan: Plan, kubeconfig: Path, context: str | None
) -> LocalProject[ExistingCluster]:
    """The stack's project for a cluster of the user's."""
    from tierup.local.cluster.existing import ExistingCluster
    from tierup.local.cluster.project import LocalProject
    from tierup.rules.secrets import of_other_services

    if foreign := sorted(of_other_services(plan)):
        raise UsageError(
            f"{', '.join(foreign)}: other services check these secrets, and a local copy of the stack has random "
            f"ones - run `pulumi up --stack {plan.stack}`, which has yours"
        )
    source, name = project_folder(), stack_name(stack)
    cluster = ExistingCluster.join(name, kubeconfig, context, source, typer.echo)
    project = LocalProject(source, name, cluster, stack_source=stack_file(stack), secrets=plan.secrets)
    project.clear_dead_lock(typer.echo)
    return project


def _on_this_machine(stack: str, plan: Plan, nodes: int) -> LocalProject[Cluster]:
    """The stack's project for a cluster of this machine, which runs and has the stack's servers."""
    from tierup.local.cluster.cluster import Cluster
    from tierup.local.cluster.data_centre import provide, real_servers, with_images
    from tierup.local.cluster.project import LocalProject
    from tierup.local.node import FOOTPRINT

    name = stack_name(stack)
    real = with_images(real_servers(plan, nodes), plan, typer.echo) if nodes else []
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
    return project
