"""Check that only the stack scales its workloads, and that its autoscaler gets metrics.

Two autoscalers of one Deployment keep undoing each other's decisions (docs/adr/0003-one-owner-of-replicas.md).
"""

from collections.abc import Collection, Iterable, Mapping, Set
from typing import Any

from tierup.findings.model import Code, Finding, warning
from tierup.io.cluster.client import Cluster
from tierup.io.cluster.owner import Owner
from tierup.manifests.common import Manifest
from tierup.plan.model import Plan

CUSTOM_METRICS = "custom.metrics.k8s.io"
KEDA = "keda.sh"


def api_groups(cluster: Cluster) -> frozenset[str]:
    """Names of the API groups that the cluster serves."""
    return frozenset(group_versions(cluster))


def group_versions(cluster: Cluster) -> dict[str, str]:
    """The API groups that the cluster serves, each with its preferred version; every user may read them."""
    listed = cluster.get("/apis") or {"groups": []}
    return {
        group["name"]: group.get("preferredVersion", {}).get("groupVersion", "") for group in listed["groups"]
    }


def scaler_findings(
    cluster: Cluster, plan: Plan, owner: Owner, manifests: Iterable[Manifest], groups: Collection[str]
) -> list[Finding]:
    """Foreign autoscalers whose target is a workload of the plan."""
    all_manifests = list(manifests)
    targets = {_key(item) for item in all_manifests if item["kind"] in ("Deployment", "StatefulSet")}
    # `foreign_objects` reports an autoscaler that has one of our own names.
    planned = {
        item["metadata"]["name"] for item in all_manifests if item["kind"] == "HorizontalPodAutoscaler"
    }
    findings = []
    replicas = {_key(item): item["spec"].get("replicas") for item in all_manifests if _key(item) in targets}
    for scaler in _horizontal(cluster, plan):
        if owner.owns(scaler["metadata"]) and scaler["metadata"]["name"] not in planned:
            findings.extend(_leaving(scaler, replicas))
        if not owner.owns(scaler["metadata"]) and scaler["metadata"]["name"] not in planned:
            findings.extend(_second_owner("horizontalpodautoscaler", scaler, targets))
    if KEDA in groups:
        path = f"/apis/{KEDA}/v1alpha1/namespaces/{plan.namespace}/scaledobjects"
        for scaler in (cluster.get(path) or {"items": []})["items"]:
            findings.extend(_second_owner("scaledobject", scaler, targets))
    return findings


def _horizontal(cluster: Cluster, plan: Plan) -> list[dict[str, Any]]:
    """The namespace's HPAs, without those that KEDA creates for its ScaledObjects."""
    path = f"/apis/autoscaling/v2/namespaces/{plan.namespace}/horizontalpodautoscalers"
    listed = cluster.get(path) or {"items": []}
    return [
        item
        for item in listed["items"]
        if all(owner["kind"] != "ScaledObject" for owner in item["metadata"].get("ownerReferences", []))
    ]


def _second_owner(kind: str, scaler: Mapping[str, Any], targets: Set[tuple[str, str]]) -> list[Finding]:
    reference = scaler["spec"]["scaleTargetRef"]
    target = (reference.get("kind", "Deployment"), reference["name"])  # KEDA's default is a Deployment
    if target not in targets:
        return []
    target_path = f"{target[0].lower()}/{target[1]}"
    problem = (
        f"scales {target_path}, whose replicas this stack controls: the two would undo each other's changes"
    )
    # With autoscaling off, the Deployment has the number of replicas and every `up` writes it again.
    fix = "delete it; autoscaling.enabled: false does not help, because `up` then sets the replicas"
    return [Finding(Code.SECOND_SCALER, f"{kind}/{scaler['metadata']['name']}", problem, fix, target_path)]


def _leaving(scaler: Mapping[str, Any], replicas: Mapping[tuple[str, str], int | None]) -> list[Finding]:
    """The stack's own autoscaler, which `up` removes after it has changed the replicas, and until then sets its own."""
    spec = scaler["spec"]
    wanted = replicas.get((spec["scaleTargetRef"]["kind"], spec["scaleTargetRef"]["name"]))
    least, most = spec.get("minReplicas", 1), spec["maxReplicas"]
    if wanted is None or least <= wanted <= most:
        return []
    problem = "the autoscaler is removed at the end of `up` and until then undoes a change of the replicas"
    fix = "switch autoscaling off with as many replicas as it allows, and change them in a second `up`"
    path = f"horizontalpodautoscaler/{scaler['metadata']['name']}"
    return [Finding(Code.SECOND_SCALER, path, problem, fix, f"{wanted} replicas", f"{least} to {most}")]


def _key(manifest: Manifest) -> tuple[str, str]:
    return manifest["kind"], manifest["metadata"]["name"]


def may_scale(plan: Plan) -> bool:
    """Whether the autoscaler may add replicas of a model."""
    return plan.autoscaling.enabled and any(model.max_replicas > model.replicas for model in plan.models)


def metrics_findings(plan: Plan, groups: Collection[str]) -> list[Finding]:
    """A warning if models may scale up and no adapter serves the metrics that they scale by."""
    if not may_scale(plan) or CUSTOM_METRICS in groups:
        return []
    # The autoscaler still adds replicas if it can read one metric, but never removes one while a metric is missing.
    problem = (
        f"no adapter serves {CUSTOM_METRICS} in this cluster: the autoscaler sees neither requests nor GPUs, so "
        "it scales up by CPU use or not at all, and never down"
    )
    fix = "install a metrics adapter for the bundled Prometheus, or set autoscaling.enabled: false"
    return [warning(Code.NO_CUSTOM_METRICS, "autoscaling", problem, fix)]
