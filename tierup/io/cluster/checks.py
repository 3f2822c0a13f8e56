"""Decides whether a cluster may take a plan: its nodes are as planned, no object is somebody else's.

What it must be able to do is asked beside this: `version_check`, `storage_check`, `scaler_check`, `exchange_check`.

The label `tierup/stack` says which stack an object is of; two deployments of one stack name, out of two
state backends, carry the same. So an object is ours if it has the label and the stack's own state vouches
for it: by holding it, or by holding the namespace, which is made before everything else
(docs/adr/0005-foreign-objects.md).
"""

from collections.abc import Iterable, Set
from typing import Any

from tierup.findings.model import Code, Finding
from tierup.io.cluster.client import Cluster
from tierup.io.cluster.exchange import exchange_findings
from tierup.io.cluster.owner import Owner
from tierup.io.cluster.scalers import api_groups, metrics_findings, scaler_findings
from tierup.io.cluster.storage import storage_findings
from tierup.io.cluster.version import too_old, version_findings
from tierup.manifests.common import Manifest
from tierup.plan.model import Plan
from tierup.resources.identity import STACK_LABEL

# Plural names of the kinds this bundle makes, for reading them back.
_PLURALS = {
    "ConfigMap": "configmaps",
    "DaemonSet": "daemonsets",
    "Deployment": "deployments",
    "HorizontalPodAutoscaler": "horizontalpodautoscalers",
    "Job": "jobs",
    "Namespace": "namespaces",
    "NetworkPolicy": "networkpolicies",
    "PersistentVolume": "persistentvolumes",
    "PersistentVolumeClaim": "persistentvolumeclaims",
    "PodDisruptionBudget": "poddisruptionbudgets",
    "PriorityClass": "priorityclasses",
    "ResourceQuota": "resourcequotas",
    "Secret": "secrets",
    "Service": "services",
    "ServiceAccount": "serviceaccounts",
    "StatefulSet": "statefulsets",
}
_ELSEWHERE = "log in to the state backend that made it, or name this stack and its namespace differently"
_SHOWN = 5


def check(cluster: Cluster, plan: Plan, manifests: Iterable[Manifest], held: Set[str]) -> list[Finding]:
    """Everything in the way of `plan`, and warnings; `held` are the UIDs of what the stack's state holds.

    Raises `ClusterError` when the cluster cannot be asked.
    """
    everything = list(manifests)
    namespace = cluster.get(f"/api/v1/namespaces/{plan.namespace}")
    established = namespace is not None and namespace["metadata"]["uid"] in held
    owner = Owner(plan.stack, held, established)
    groups = api_groups(cluster)
    found = [
        *version_findings(cluster),
        *node_findings(cluster, plan, owner),
        *storage_findings(cluster, plan, everything),
        *metrics_findings(plan, groups),
    ]
    if namespace is None:
        return [*found, *foreign_objects(cluster, owner, [m for m in everything if not _namespaced(m)])]
    return [
        *found,
        *exchange_findings(cluster, plan),
        *scaler_findings(cluster, plan, owner, everything, groups),
        *foreign_objects(cluster, owner, everything),
    ]


def _namespaced(manifest: Manifest) -> bool:
    return "namespace" in manifest["metadata"]


def _collection(manifest: Manifest) -> str:
    """The URL path of a manifest's kind in its namespace."""
    version, namespace = manifest["apiVersion"], manifest["metadata"].get("namespace")
    root = f"/api/{version}" if "/" not in version else f"/apis/{version}"
    scope = f"/namespaces/{namespace}" if namespace is not None else ""
    return f"{root}{scope}/{_PLURALS[manifest['kind']]}"


def foreign_objects(cluster: Cluster, owner: Owner, manifests: Iterable[Manifest]) -> list[Finding]:
    """Objects of the plan that exist and are not ours: the provider would adopt, and later delete, them."""
    found: list[Finding] = []
    elsewhere: list[str] = []
    listed: dict[str, dict[str, Any]] = {}
    for manifest in manifests:
        kind, name = manifest["kind"], manifest["metadata"]["name"]
        if kind == "Node":
            continue
        path = _collection(manifest)
        if not _namespaced(manifest):
            there = cluster.get(f"{path}/{name}")
        else:
            if path not in listed:
                items = (cluster.get(path) or {"items": []})["items"]
                listed[path] = {item["metadata"]["name"]: item for item in items}
            there = listed[path].get(name)
        if there is None:
            continue
        metadata, shown = there["metadata"], f"{kind.lower()}/{name}"
        label = metadata.get("labels", {}).get(STACK_LABEL)
        if label != owner.stack:
            problem = f"exists in the cluster and is not this stack's (no label {STACK_LABEL}={owner.stack})"
            fix = "delete or rename it, set cluster.namespace, or label it to hand it over"
            found.append(Finding(Code.FOREIGN_OBJECT, shown, problem, fix, label))
        elif kind != "Namespace" and not owner.made(metadata):
            elsewhere.append(shown)
    if elsewhere:
        more = f" and {len(elsewhere) - _SHOWN} more" if len(elsewhere) > _SHOWN else ""
        problem = f"is of another deployment of a stack '{owner.stack}', which this state does not know"
        got = ", ".join(elsewhere[:_SHOWN]) + more
        found.append(Finding(Code.FOREIGN_OBJECT, elsewhere[0], problem, _ELSEWHERE, got))
    return found


def node_findings(cluster: Cluster, plan: Plan, owner: Owner) -> list[Finding]:
    """Nodes that are missing, belong to another stack, or are not what the catalogue's server is."""
    listed = cluster.get("/api/v1/nodes") or {"items": []}
    there = {item["metadata"]["name"]: item for item in listed["items"]}
    product = plan.nodes.gpu.product_label.value
    like = [
        name
        for name, node in there.items()
        if node["metadata"].get("labels", {}).get("nvidia.com/gpu.product") == product
    ]
    found: list[Finding] = []
    for index, name in enumerate((*plan.nodes.in_service, *plan.nodes.standby)):
        at = f"nodes.names[{index}]"
        if name not in there:
            hint = f"nodes with {product}: {', '.join(sorted(like)) or 'none'}"
            fix = "set nodes.names to the nodes to adopt"
            found.append(Finding(Code.NODE_MISSING, at, f"the cluster has no such node; {hint}", fix, name))
            continue
        found.extend(_node_mismatch(plan, owner, there[name], at))
    return found


def _node_mismatch(plan: Plan, owner: Owner, node: dict[str, Any], at: str) -> list[Finding]:
    found: list[Finding] = []
    metadata, labels = node["metadata"], node["metadata"].get("labels", {})
    name, of = metadata["name"], labels.get(STACK_LABEL)
    if of is not None and of != owner.stack:
        problem = f"node {name} serves the stack '{of}'"
        found.append(Finding(Code.NODE_TAKEN, at, problem, "name another node", name))
    elif of is not None and not owner.made(metadata):
        problem = f"node {name} serves another deployment of a stack '{of}', which this state does not know"
        found.append(Finding(Code.NODE_TAKEN, at, problem, _ELSEWHERE, name))
    product, wanted = labels.get("nvidia.com/gpu.product"), plan.nodes.gpu.product_label.value
    if product != wanted:
        fix = "name another node, another server, or install GPU feature discovery"
        problem = f"node {name} is not a {plan.nodes.server_id}: label nvidia.com/gpu.product"
        found.append(Finding(Code.NODE_MISMATCH, at, problem, fix, product or "none", wanted))
    kubelet = node["status"].get("nodeInfo", {}).get("kubeletVersion", "")
    found.extend(too_old(kubelet, at, f"the kubelet of node {name}", "upgrade it, or name another node"))
    gpus = int(node["status"].get("allocatable", {}).get("nvidia.com/gpu", "0"))
    if gpus < plan.nodes.gpus_per_server:
        problem = f"node {name} offers fewer GPUs than a {plan.nodes.server_id}"
        fix = "check the device plugin, or name another node"
        allowed = f"{plan.nodes.gpus_per_server} or more"
        found.append(Finding(Code.NODE_MISMATCH, at, problem, fix, str(gpus), allowed))
    return found
