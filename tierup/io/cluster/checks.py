"""Check a cluster against a plan: its nodes match, and no object of the plan belongs to somebody else.

The modules `version`, `kinds`, `storage`, `classes`, `scalers` and `exchange` check what the cluster is able to do.

The label `tierup/stack` names the stack of an object, but two deployments of one stack name from two state backends
use the same label. So an object is ours if it has the label and the stack's own state contains it, or contains the
namespace, which is created before all_manifests else (docs/adr/0005-foreign-objects.md).
"""

from collections.abc import Collection, Iterable, Set
from typing import Any

from tierup.findings.model import Code, Finding
from tierup.io.cluster.classes import class_findings
from tierup.io.cluster.client import Cluster
from tierup.io.cluster.exchange import exchange_findings
from tierup.io.cluster.kinds import kind_findings
from tierup.io.cluster.owner import Owner
from tierup.io.cluster.paths import collection, namespaced
from tierup.io.cluster.scalers import api_groups, metrics_findings, scaler_findings
from tierup.io.cluster.storage import storage_findings
from tierup.io.cluster.version import too_old, version_findings
from tierup.io.cluster.weights import weights_findings
from tierup.manifests.common import Manifest
from tierup.plan.model import Plan
from tierup.resources.identity import STACK_LABEL

_USE_OTHER_STATE = (
    "log in to the state backend that made it, or name this stack and its namespace differently"
)
_SHOWN = 5


def check(cluster: Cluster, plan: Plan, manifests: Iterable[Manifest], held: Set[str]) -> list[Finding]:
    """Every error and warning about the cluster for `plan`; `held` has the UIDs of the objects in the stack's state.

    Raises `ClusterError` if the cluster cannot be read.
    """
    all_manifests = list(manifests)
    namespace = cluster.get(f"/api/v1/namespaces/{plan.namespace}")
    established = namespace is not None and namespace["metadata"]["uid"] in held
    owner = Owner(plan.stack, held, established)
    groups = api_groups(cluster)
    return [
        *version_findings(cluster),
        *kind_findings(cluster, all_manifests),
        *node_findings(cluster, plan, owner),
        *storage_findings(cluster, plan, all_manifests),
        *class_findings(cluster, plan),
        *weights_findings(cluster, plan),
        *metrics_findings(plan, groups),
        *object_findings(cluster, plan, owner, all_manifests, groups, new=namespace is None),
    ]


def object_findings(
    cluster: Cluster,
    plan: Plan,
    owner: Owner,
    manifests: Iterable[Manifest],
    groups: Collection[str],
    *,
    new: bool,
) -> list[Finding]:
    """What exists and stands in the way of the plan's objects; `new`: the namespace does not exist yet."""
    all_manifests = list(manifests)
    if new:
        return foreign_objects(cluster, owner, [item for item in all_manifests if not namespaced(item)])
    return [
        *exchange_findings(cluster, plan),
        *scaler_findings(cluster, plan, owner, all_manifests, groups),
        *foreign_objects(cluster, owner, all_manifests),
    ]


def foreign_objects(cluster: Cluster, owner: Owner, manifests: Iterable[Manifest]) -> list[Finding]:
    """Objects of the plan that exist and are not ours: the provider would adopt them and later delete them."""
    findings: list[Finding] = []
    of_other_deployments: list[str] = []
    listed: dict[str, dict[str, Any]] = {}
    for manifest in manifests:
        kind, name = manifest["kind"], manifest["metadata"]["name"]
        if kind == "Node":
            continue
        path = collection(manifest)
        if not namespaced(manifest):
            existing = cluster.get(f"{path}/{name}")
        else:
            if path not in listed:
                items = (cluster.get(path) or {"items": []})["items"]
                listed[path] = {item["metadata"]["name"]: item for item in items}
            existing = listed[path].get(name)
        if existing is None:
            continue
        metadata, object_path = existing["metadata"], f"{kind.lower()}/{name}"
        label = metadata.get("labels", {}).get(STACK_LABEL)
        if label != owner.stack:
            problem = f"exists in the cluster and is not this stack's (no label {STACK_LABEL}={owner.stack})"
            fix = "delete or rename it, set cluster.namespace, or label it to hand it over"
            findings.append(Finding(Code.FOREIGN_OBJECT, object_path, problem, fix, label))
        elif kind != "Namespace" and not owner.made(metadata):
            of_other_deployments.append(object_path)
    if of_other_deployments:
        count = len(of_other_deployments)
        more = f" and {count - _SHOWN} more" if count > _SHOWN else ""
        problem = f"belongs to another deployment of a stack '{owner.stack}', which is not in this state"
        got = ", ".join(of_other_deployments[:_SHOWN]) + more
        findings.append(Finding(Code.FOREIGN_OBJECT, of_other_deployments[0], problem, _USE_OTHER_STATE, got))
    return findings


def node_findings(cluster: Cluster, plan: Plan, owner: Owner) -> list[Finding]:
    """Nodes that are missing, belong to another stack, or do not match the catalogue's server."""
    listed = cluster.get("/api/v1/nodes") or {"items": []}
    existing = {item["metadata"]["name"]: item for item in listed["items"]}
    product = plan.nodes.gpu.product_label.value
    same_gpu = [
        name
        for name, node in existing.items()
        if node["metadata"].get("labels", {}).get("nvidia.com/gpu.product") == product
    ]
    findings: list[Finding] = []
    for index, name in enumerate((*plan.nodes.in_service, *plan.nodes.standby)):
        path = f"nodes.names[{index}]"
        if name not in existing:
            hint = f"nodes with {product}: {', '.join(sorted(same_gpu)) or 'none'}"
            fix = "set nodes.names to the nodes to adopt"
            findings.append(
                Finding(Code.NODE_MISSING, path, f"the cluster has no such node; {hint}", fix, name)
            )
            continue
        findings.extend(_node_mismatch(plan, owner, existing[name], path))
    return findings


def _node_mismatch(plan: Plan, owner: Owner, node: dict[str, Any], path: str) -> list[Finding]:
    findings: list[Finding] = []
    metadata, labels = node["metadata"], node["metadata"].get("labels", {})
    name, stack = metadata["name"], labels.get(STACK_LABEL)
    if stack is not None and stack != owner.stack:
        problem = f"node {name} serves the stack '{stack}'"
        findings.append(Finding(Code.NODE_TAKEN, path, problem, "name another node", name))
    elif stack is not None and not owner.made(metadata):
        problem = f"node {name} serves another deployment of a stack '{stack}', which is not in this state"
        findings.append(Finding(Code.NODE_TAKEN, path, problem, _USE_OTHER_STATE, name))
    product, wanted = labels.get("nvidia.com/gpu.product"), plan.nodes.gpu.product_label.value
    if product != wanted:
        fix = "name another node, another server, or install GPU feature discovery"
        problem = f"node {name} is not a {plan.nodes.server_id}: label nvidia.com/gpu.product"
        findings.append(Finding(Code.NODE_MISMATCH, path, problem, fix, product or "none", wanted))
    kubelet = node["status"].get("nodeInfo", {}).get("kubeletVersion", "")
    findings.extend(too_old(kubelet, path, f"the kubelet of node {name}", "upgrade it, or name another node"))
    gpus = int(node["status"].get("allocatable", {}).get(plan.cluster.gpu_resource, "0"))
    if gpus < plan.nodes.gpus_per_server:
        problem = f"node {name} offers fewer GPUs than a {plan.nodes.server_id}"
        fix = "check the device plugin, or name another node"
        allowed = f"{plan.nodes.gpus_per_server} or more"
        findings.append(Finding(Code.NODE_MISMATCH, path, problem, fix, str(gpus), allowed))
    return findings
