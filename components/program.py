"""The Pulumi program: plan the stack's configuration, check its cluster, create the tier."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pulumi
import pulumi_kubernetes as k8s
from pulumi.runtime import config as engine

from components.tier import InferenceTier, TierArgs
from tierup.catalog import load_catalog
from tierup.cost import priced
from tierup.findings.model import Finding, FindingsError, TierError, errors, open_warnings
from tierup.io.cluster.checks import check
from tierup.io.cluster.client import Cluster
from tierup.io.pulumi.config import read_engine
from tierup.io.stack.attached import with_files
from tierup.io.stack.read import PROJECT, find_project, stack_path
from tierup.manifests import render
from tierup.plan.model import Plan
from tierup.policies.budget import usd_per_month
from tierup.resources.model import resources_of
from tierup.rules import acceptance
from tierup.rules.preflight import make_plan
from tierup.stack.parse import SECRET_PREFIX, RawStack, parse

State = Mapping[str, Mapping[str, Any]]


def main() -> InferenceTier:
    """Plan the stack, check its cluster, build the tier; raises `pulumi.RunError` with every problem."""
    try:
        plan = priced(make_plan(parse(_raw()), load_catalog()))
        _log(plan.findings)
        state = _state()
        tier = build(plan, _checked_cluster(plan, state), state)
    except TierError as error:
        raise pulumi.RunError(str(error)) from error
    for key, value in tier.outputs.items():
        pulumi.export(key, value)
    return tier


def build(plan: Plan, cluster: Cluster, state: State) -> InferenceTier:
    """Register the tier's resources on one cluster."""
    provider = k8s.Provider(
        "cluster",
        kubeconfig=cluster.ref.kubeconfig,
        context=cluster.ref.context,
        enable_server_side_apply=True,
    )
    config = pulumi.Config(PROJECT)
    limited = plan.budget.max_increase_usd_per_month is not None
    before = usd_per_month(resources_of(state)) if limited else None
    return InferenceTier(
        plan.stack, TierArgs(plan, provider, lambda name: config.require_secret(SECRET_PREFIX + name), before)
    )


def _raw() -> RawStack:
    values = engine.CONFIG.get()
    secret_keys = [key for key in values if engine.is_config_secret(key)]
    stack = pulumi.get_stack()
    raw, project = read_engine(stack, values, secret_keys), find_project(Path.cwd())
    return raw if project is None else with_files(raw, stack_path(project, stack).parent)


def _checked_cluster(plan: Plan, state: State) -> Cluster:
    """The stack's cluster, which is also logged; raises `TierError` if the plan cannot run on it."""
    cluster = Cluster(plan.cluster.kubeconfig, plan.cluster.context)
    pulumi.log.info(f"cluster: {cluster.ref}")
    findings = acceptance.marked(check(cluster, plan, render(plan), _held(state)), plan.accept)
    blocking = errors(findings)
    _log(finding for finding in findings if finding not in blocking)
    if blocking:
        raise FindingsError(blocking, f"the cluster of stack '{plan.stack}'")
    return cluster


def _log(findings: Iterable[Finding]) -> None:
    """Log findings that do not stop the run."""
    shown = tuple(findings)
    unaccepted = open_warnings(shown)
    for finding in shown:
        (pulumi.log.warn if finding in unaccepted else pulumi.log.info)(str(finding))


def _state() -> State:
    """Type and outputs of every resource in the stack's state at the start of this run, by URN."""
    name = f"{pulumi.get_organization()}/{pulumi.get_project()}/{pulumi.get_stack()}"
    state = pulumi.runtime.invoke("pulumi:pulumi:readStackResourceOutputs", {"stackName": name}).value
    resources: State = state["outputs"]
    return resources


def _held(state: State) -> frozenset[str]:
    """UIDs of the Kubernetes objects in the state."""
    outputs = [resource["outputs"] for resource in state.values()]
    metadata = [item["metadata"] for item in outputs if isinstance(item.get("metadata"), dict)]
    return frozenset(item["uid"] for item in metadata if "uid" in item)
