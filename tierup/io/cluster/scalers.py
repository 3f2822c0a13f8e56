"""Decides whether the stack alone scales its workloads, and whether its autoscaler will see anything.

Two autoscalers of one Deployment undo each other's decisions for ever (docs/adr/0003-one-owner-of-replicas.md).
"""

from collections.abc import Iterable, Mapping, Set
from typing import Any

from tierup.findings.model import Code, Finding, warning
from tierup.io.cluster.client import Cluster
from tierup.io.cluster.owner import Owner
from tierup.manifests.common import Manifest
from tierup.plan.model import Plan

CUSTOM_METRICS = "custom.metrics.k8s.io"
_KEDA = "keda.sh"


def api_groups(cluster: Cluster) -> frozenset[str]:
    """Names of the API groups that the cluster serves; every user may ask for them."""
    listed = cluster.get("/apis") or {"groups": []}
    return frozenset(group["name"] for group in listed["groups"])


def scaler_findings(
    cluster: Cluster, plan: Plan, owner: Owner, manifests: Iterable[Manifest], groups: Set[str]
) -> list[Finding]:
    """Autoscalers of others, aimed at what the plan makes."""
    everything = list(manifests)
    targets = {_key(item) for item in everything if item["kind"] in ("Deployment", "StatefulSet")}
    # An object under one of our own names is judged as any foreign object is.
    planned = {item["metadata"]["name"] for item in everything if item["kind"] == "HorizontalPodAutoscaler"}
    found = []
    for scaler in _horizontal(cluster, plan):
        if not owner.owns(scaler["metadata"]) and scaler["metadata"]["name"] not in planned:
            found.extend(_second_owner("horizontalpodautoscaler", scaler, targets))
    if _KEDA in groups:
        path = f"/apis/{_KEDA}/v1alpha1/namespaces/{plan.namespace}/scaledobjects"
        for scaler in (cluster.get(path) or {"items": []})["items"]:
            found.extend(_second_owner("scaledobject", scaler, targets))
    return found


def _horizontal(cluster: Cluster, plan: Plan) -> list[dict[str, Any]]:
    """The namespace's HPAs, without those that KEDA makes for its own ScaledObjects."""
    path = f"/apis/autoscaling/v2/namespaces/{plan.namespace}/horizontalpodautoscalers"
    listed = cluster.get(path) or {"items": []}
    return [
        item
        for item in listed["items"]
        if all(made_by["kind"] != "ScaledObject" for made_by in item["metadata"].get("ownerReferences", []))
    ]


def _second_owner(kind: str, scaler: Mapping[str, Any], targets: Set[tuple[str, str]]) -> list[Finding]:
    reference = scaler["spec"]["scaleTargetRef"]
    target = (reference.get("kind", "Deployment"), reference["name"])  # KEDA's default is a Deployment
    if target not in targets:
        return []
    shown = f"{target[0].lower()}/{target[1]}"
    problem = f"scales {shown}, whose replicas this stack decides: the two would undo each other's choice"
    # With autoscaling off the number stands in the Deployment, and every `up` would write it again.
    fix = "delete it; autoscaling.enabled: false makes no room for it, since `up` then writes the replicas"
    return [Finding(Code.SECOND_SCALER, f"{kind}/{scaler['metadata']['name']}", problem, fix, shown)]


def _key(manifest: Manifest) -> tuple[str, str]:
    return manifest["kind"], manifest["metadata"]["name"]


def metrics_findings(plan: Plan, groups: Set[str]) -> list[Finding]:
    """A warning when models may grow and nothing serves the metrics that would make them."""
    grows = any(model.max_replicas > model.replicas for model in plan.models)
    if not plan.autoscaling.enabled or not grows or CUSTOM_METRICS in groups:
        return []
    # One metric that can be read may still add a replica; with one that cannot, none is ever taken away.
    problem = (
        f"no adapter serves {CUSTOM_METRICS} in this cluster: the autoscaler sees neither requests nor GPUs, so "
        "it grows by CPU use or not at all, and never shrinks"
    )
    fix = "install a metrics adapter for the bundled Prometheus, or set autoscaling.enabled: false"
    return [warning(Code.NO_CUSTOM_METRICS, "autoscaling", problem, fix)]
