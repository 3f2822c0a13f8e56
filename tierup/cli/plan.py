"""Prints what a stack file becomes: every default with its reason, and what to know before deploying."""

from dataclasses import asdict
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from tierup.cli.exits import console, examples
from tierup.cli.project import Stack, load_plan
from tierup.cli.reports import Format, chosen, report, told
from tierup.findings import open_warnings
from tierup.plan import Plan

EXAMPLES = examples(
    "tierup plan --stack standard",
    "tierup plan --stack standard --json",
    "tierup plan --stack standard --format markdown > comment.md",
    "tierup plan --stack standard --format sarif > findings.sarif",
)


def plan(
    stack: Stack,
    named: Annotated[
        Format | None,
        typer.Option("--format", help="How it is told", show_default="text", case_sensitive=False),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Short for --format json")] = False,
) -> None:
    """Check a stack file and print its defaults with their reasons. Needs no cluster and decrypts nothing.

    As text, errors go to standard error; in every other format all findings go to standard output.
    """
    kind = chosen(named, as_json)
    if kind is Format.TEXT:
        _page(load_plan(stack), console())
        return
    text, code = told(report(stack, summary, headline), kind)
    print(text, end="")
    raise typer.Exit(code)


def summary(tier: Plan) -> dict[str, Any]:
    """The plan as plain data: defaults, and what will run."""
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
    }


def headline(tier: Plan) -> tuple[str, ...]:
    """The tier in a few lines: hardware, users, GPUs, models."""
    nodes = tier.nodes
    spares = f", {len(nodes.standby)} {nodes.standby_mode} standby" if nodes.standby else ""
    lines = [
        f"{tier.stack}: {len(nodes.in_service)} x {nodes.server.title}{spares}, "
        f"{tier.config.workload.users} users",
        f"  GPUs: {tier.gpus_used} of {nodes.gpus_in_service} x {nodes.gpu.product_label.value} used at rest",
    ]
    for model in tier.models:
        size = f"TP {model.tensor} x PP {model.pipeline}, {model.replicas} replica(s), at most {model.max_replicas}"
        lines.append(
            f"  model {model.name}: {model.spec.title}, {model.precision}, {size}, "
            f"{model.slots} slots, context {model.context}"
        )
    return tuple(lines)


def _page(tier: Plan, out: Console) -> None:
    for line in headline(tier):
        out.print(line, markup=False, highlight=False)
    table = Table(
        "setting", "default", "why", title="not said in the stack file", title_justify="left", box=None
    )
    for default in tier.defaults:
        table.add_row(default.path, default.value, default.why)
    out.print(table)
    for finding in tier.findings:
        out.print(f"{finding.severity}: {finding}", highlight=False, markup=False)
    if not open_warnings(tier.findings):
        out.print("nothing to warn about")
