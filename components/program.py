"""The program: configuration in, one tier out; a user's mistake ends as one message."""

from collections.abc import Iterable, Mapping
from typing import Any

import pulumi
import pulumi_kubernetes as k8s
from pulumi.runtime import config as engine

from components.tier import InferenceTier, TierArgs
from tierup.catalog import load_catalog
from tierup.findings.model import Finding, FindingsError, TierError, errors, open_warnings
from tierup.io.cluster.checks import check
from tierup.io.cluster.client import Cluster
from tierup.io.pulumi.config import read_engine
from tierup.io.stack.read import PROJECT
from tierup.manifests import render
from tierup.plan.model import Plan
from tierup.policies.budget import usd_per_month
from tierup.resources.model import resources_of
from tierup.rules import acceptance
from tierup.rules.preflight import make_plan
from tierup.stack.parse import SECRET_PREFIX, RawStack, parse

State = Mapping[str, Mapping[str, Any]]


def main() -> InferenceTier:
    """Plan the stack, look at its cluster, build the tier; raises `pulumi.RunError` with every problem."""
    try:
        plan = make_plan(parse(_raw()), load_catalog())
        _show(plan.findings)
        state = _state()
        tier = build(plan, _reachable(plan, state), state)
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
    hidden = [key for key in values if engine.is_config_secret(key)]
    return read_engine(pulumi.get_stack(), values, hidden)


def _reachable(plan: Plan, state: State) -> Cluster:
    """The stack's cluster, named in the preview, with nothing in the way of the plan."""
    cluster = Cluster(plan.cluster.kubeconfig, plan.cluster.context)
    pulumi.log.info(f"cluster: {cluster.ref}")
    found = acceptance.marked(check(cluster, plan, render(plan), _held(state)), plan.accept)
    in_the_way = errors(found)
    _show(finding for finding in found if finding not in in_the_way)
    if in_the_way:
        raise FindingsError(in_the_way, f"the cluster of stack '{plan.stack}'")
    return cluster


def _show(findings: Iterable[Finding]) -> None:
    """Tell what stops nothing."""
    told = tuple(findings)
    unaccepted = open_warnings(told)
    for finding in told:
        (pulumi.log.warn if finding in unaccepted else pulumi.log.info)(str(finding))


def _state() -> State:
    """Type and outputs of every resource that the stack's state holds as this run begins, by URN."""
    name = f"{pulumi.get_organization()}/{pulumi.get_project()}/{pulumi.get_stack()}"
    state = pulumi.runtime.invoke("pulumi:pulumi:readStackResourceOutputs", {"stackName": name}).value
    found: State = state["outputs"]
    return found


def _held(state: State) -> frozenset[str]:
    """UIDs of its Kubernetes objects."""
    outputs = [resource["outputs"] for resource in state.values()]
    metadata = [item["metadata"] for item in outputs if isinstance(item.get("metadata"), dict)]
    return frozenset(item["uid"] for item in metadata if "uid" in item)
