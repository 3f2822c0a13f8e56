"""Prints what a stack file becomes: every default with its reason, and what to know before deploying."""

import json
from dataclasses import asdict
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from tierup.cli.project import Stack, load_plan
from tierup.plan import Plan


def plan(
    stack: Stack, as_json: Annotated[bool, typer.Option("--json", help="One JSON object")] = False
) -> None:
    """Check a stack file and print its defaults with their reasons. Needs no cluster and decrypts nothing.

    Example: tierup plan --stack standard
    """
    tier = load_plan(stack)
    if as_json:
        print(json.dumps(summary(tier), indent=2))
    else:
        _page(tier, Console())


def summary(tier: Plan) -> dict[str, object]:
    """The plan as plain data: findings, defaults, and what will run."""
    return {
        "stack": tier.stack,
        "namespace": tier.namespace,
        "nodes": {
            "server": tier.nodes.server_id,
            "gpu": tier.nodes.gpu.product_label.value,
            "inService": list(tier.nodes.in_service),
            "standby": list(tier.nodes.standby),
            "standbyMode": str(tier.nodes.standby_mode),
        },
        "models": [
            {
                "name": model.name,
                "precision": str(model.precision),
                "gpusPerReplica": model.gpus,
                "replicas": model.replicas,
                "maxReplicas": model.max_replicas,
            }
            for model in tier.models
        ],
        "gpus": {"used": tier.gpus_used, "inService": tier.nodes.gpus_in_service},
        "defaults": [asdict(default) for default in tier.defaults],
        "findings": [
            {"code": str(f.code), "severity": str(f.severity), "path": f.path, "message": str(f)}
            for f in tier.findings
        ],
    }


def _page(tier: Plan, out: Console) -> None:
    nodes = tier.nodes
    spares = f", {len(nodes.standby)} {nodes.standby_mode} standby" if nodes.standby else ""
    out.print(
        f"[bold]{tier.stack}[/bold]: {len(nodes.in_service)} x {nodes.server.title}{spares}, "
        f"{tier.config.workload.users} users"
    )
    out.print(
        f"  GPUs: {tier.gpus_used} of {nodes.gpus_in_service} x {nodes.gpu.product_label.value} used at rest"
    )
    for model in tier.models:
        size = f"TP {model.tensor} x PP {model.pipeline}, {model.replicas} replica(s), at most {model.max_replicas}"
        out.print(
            f"  model {model.name}: {model.spec.title}, {model.precision}, {size}, "
            f"{model.slots} slots, context {model.context}"
        )
    table = Table(
        "setting", "default", "why", title="not said in the stack file", title_justify="left", box=None
    )
    for default in tier.defaults:
        table.add_row(default.path, default.value, default.why)
    out.print(table)
    for finding in tier.findings:
        out.print(f"{finding.severity}: {finding}", highlight=False, markup=False)
    if not tier.findings:
        out.print("nothing to warn about")
