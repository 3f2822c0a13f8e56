"""Says whether the cluster of a stack is ready for it: each check with what was found and what to do."""

from collections.abc import Iterable
from typing import Annotated

import typer

from tierup.cli.doctor_page import as_json, print_checks
from tierup.cli.exits import EXIT_FINDINGS, UsageError, examples
from tierup.cli.project import Stack, load_plan
from tierup.cli.render import to_yaml
from tierup.io.cluster.client import Cluster
from tierup.io.cluster.doctor.access import needs, roles
from tierup.io.cluster.doctor.examine import Probe, examine
from tierup.io.cluster.doctor.model import Check, Status
from tierup.io.cluster.doctor.probe.pods import python_kit
from tierup.io.cluster.doctor.probe.run import probe as probed
from tierup.manifests import render
from tierup.plan.model import Plan

EXAMPLES = examples(
    "tierup doctor --stack standard",
    "tierup doctor --stack standard --probe",
    "tierup doctor --stack standard --json | jq .checks",
    "tierup doctor --stack standard --role | kubectl apply -f -",
)
_PROBE_SECONDS = 300


def doctor(
    stack: Stack,
    probe: Annotated[
        bool, typer.Option("--probe", help="Also create a namespace with pods, and remove it again")
    ] = False,
    timeout: Annotated[
        int | None,
        typer.Option("--timeout", help="Seconds for the probe", min=10, show_default=str(_PROBE_SECONDS)),
    ] = None,
    role: Annotated[
        bool, typer.Option("--role", help="Print the roles that a deployment needs, and check nothing")
    ] = False,
    json_: Annotated[bool, typer.Option("--json", help="Print JSON, for programs")] = False,
) -> None:
    """Check whether the cluster that a stack names is ready for it; works before the first `pulumi up`.

    It reads only. --probe creates pods in a namespace of its own to pull the stack's images, resolve a name and try a
    network policy. Exit code 1: there is a problem, or the cluster does not answer. docs/doctor.md describes the JSON.
    """
    if role and (probe or json_):
        raise UsageError("--role prints roles and checks nothing - give it alone")
    if timeout is not None and not probe:
        raise UsageError("--timeout is for --probe - give both")
    plan = load_plan(stack)
    if role:
        print(to_yaml(list(roles(plan, needs(render(plan), keda=True)))), end="")
        return
    results = examine(plan, _probe(plan, timeout or _PROBE_SECONDS) if probe else None)
    checks = _printed(plan, results, json_)
    if any(check.status is Status.PROBLEM for check in checks):
        raise typer.Exit(EXIT_FINDINGS)


def _probe(plan: Plan, seconds: int) -> Probe:
    """The probe of this plan; its progress goes to standard error."""

    def run(cluster: Cluster) -> Iterable[Check]:
        return probed(cluster, plan, render(plan), python_kit(plan), timeout=seconds, say=_say)

    return run


def _say(line: str) -> None:
    typer.echo(line, err=True)


def _printed(plan: Plan, results: Iterable[Check], json_: bool) -> list[Check]:
    """All results; as text, each is printed as soon as it is known."""
    if not json_:
        return print_checks(results)
    checks = list(results)
    print(as_json(plan.stack, checks))
    return checks
