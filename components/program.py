"""The program: configuration in, one tier out; a user's mistake ends as one message."""

import pulumi
import pulumi_kubernetes as k8s
from pulumi.runtime import config as engine

from components.tier import InferenceTier, TierArgs
from tierup.catalog import load_catalog
from tierup.config import SECRET_PREFIX, RawStack, parse
from tierup.findings import Severity, TierError
from tierup.io.cluster import (
    Cluster,
    ClusterError,
    exchange_findings,
    foreign_objects,
    node_findings,
    storage_findings,
)
from tierup.io.engine_config import read_engine
from tierup.io.stackfile import PROJECT
from tierup.manifests import render
from tierup.plan import Plan
from tierup.preflight import make_plan


def main() -> InferenceTier:
    """Plan the stack, look at its cluster, build the tier; raises `pulumi.RunError` with every problem."""
    try:
        plan = make_plan(parse(_raw()), load_catalog())
        for finding in plan.findings:
            (pulumi.log.warn if finding.severity is Severity.WARNING else pulumi.log.info)(str(finding))
        tier = build(plan, _reachable(plan))
    except (TierError, ClusterError) as error:
        raise pulumi.RunError(str(error)) from error
    for key, value in tier.outputs.items():
        pulumi.export(key, value)
    return tier


def build(plan: Plan, cluster: Cluster) -> InferenceTier:
    """Register the tier's resources on one cluster."""
    provider = k8s.Provider(
        "cluster",
        kubeconfig=cluster.ref.kubeconfig,
        context=cluster.ref.context,
        enable_server_side_apply=True,
    )
    config = pulumi.Config(PROJECT)
    return InferenceTier(
        plan.stack, TierArgs(plan, provider, lambda name: config.require_secret(SECRET_PREFIX + name))
    )


def _raw() -> RawStack:
    values = engine.CONFIG.get()
    hidden = [key for key in values if engine.is_config_secret(key)]
    return read_engine(pulumi.get_stack(), values, hidden)


def _reachable(plan: Plan) -> Cluster:
    """The stack's cluster, named in the preview, with nothing in the way of the plan."""
    said = plan.config.cluster
    cluster = Cluster(said.kubeconfig, said.context)
    pulumi.log.info(f"cluster: {cluster.ref}")
    manifests = render(plan)
    found = [
        *node_findings(cluster, plan),
        *storage_findings(cluster, manifests),
        *exchange_findings(cluster, plan),
        *foreign_objects(cluster, plan, manifests),
    ]
    if found:
        raise TierError(found, f"the cluster of stack '{plan.stack}'")
    return cluster
