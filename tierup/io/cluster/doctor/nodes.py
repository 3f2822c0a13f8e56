"""Whether the plan's nodes can run its pods: ready, tolerated taints, a kubelet near the API server's version."""

from collections.abc import Iterable, Iterator
from typing import Any

from tierup.findings.model import counted
from tierup.io.cluster.checks import node_findings
from tierup.io.cluster.classes import class_findings
from tierup.io.cluster.client import Cluster
from tierup.io.cluster.doctor.model import Check, Status, not_checked, of_findings, ok, problem, warning
from tierup.io.cluster.owner import Owner
from tierup.io.cluster.version import parse, server_version
from tierup.manifests.common import Manifest
from tierup.plan.model import Plan

_NAME = "nodes"
# Kubernetes sets these taints itself, and the node's conditions and `unschedulable` say the same.
_OF_THE_CLUSTER = "node.kubernetes.io/"
_KUBELET_MINORS = 3  # how much older than the API server a kubelet may be: Kubernetes' version skew policy


def nodes(cluster: Cluster, plan: Plan, owner: Owner, manifests: Iterable[Manifest]) -> list[Check]:
    """Every problem of the plan's nodes; a spare that is powered off need not be ready."""
    checks = of_findings(_NAME, node_findings(cluster, plan, owner))
    listed = cluster.get("/api/v1/nodes") or {"items": []}
    existing = {item["metadata"]["name"]: item for item in listed["items"]}
    server, pods = server_version(cluster), list(_pod_specs(manifests))
    for name in plan.nodes.schedulable:
        if name in existing:
            checks.extend(_ready(existing[name]))
            checks.extend(_taints(existing[name], pods))
            checks.extend(_skew(existing[name], server))
    if any(check.status is not Status.OK for check in checks):
        return checks
    gpus = f"{counted(plan.nodes.gpus_schedulable, 'GPU')} of {plan.nodes.gpu.product_label.value}"
    names = ", ".join(plan.nodes.schedulable)
    spares = [name for name in plan.nodes.standby if name not in plan.nodes.schedulable]
    also = f"; cold spares are there: {', '.join(spares)}" if spares else ""
    return [*checks, ok(_NAME, f"{names}: ready, {gpus}{also}")]


def runtime(cluster: Cluster, plan: Plan) -> list[Check]:
    """Whether the RuntimeClass and the PriorityClass of the stack file exist.

    Without a RuntimeClass: nothing more where none is NVIDIA's, because the API does not show whether that is the
    default on the nodes.
    """
    named = {
        "RuntimeClass": plan.cluster.runtime_class_name,
        "PriorityClass": plan.cluster.priority_class_name,
    }
    checks = of_findings("runtime", list(class_findings(cluster, plan)))
    if not checks and any(named.values()):
        classes = [f"{kind} {name}" for kind, name in named.items() if name is not None]
        checks = [ok("runtime", f"there: {', '.join(classes)}")]
    return checks if named["RuntimeClass"] is not None else [*checks, *_unnamed(cluster)]


def _unnamed(cluster: Cluster) -> list[Check]:
    """A RuntimeClass of NVIDIA that no pod of the stack names."""
    listed = cluster.get("/apis/node.k8s.io/v1/runtimeclasses") or {"items": []}
    names = [item["metadata"]["name"] for item in listed["items"] if "nvidia" in item.get("handler", "")]
    if not names:
        return []
    found = f"RuntimeClass {', '.join(names)} exists, and pods of the stack name none"
    return [
        not_checked(
            "runtime",
            found,
            f"name it in cluster.runtimeClassName: {names[0]}, if it is not the default of the GPU nodes",
        )
    ]


def _pod_specs(manifests: Iterable[Manifest]) -> Iterator[dict[str, Any]]:
    for manifest in manifests:
        template = manifest.get("spec", {}).get("template")
        if template is not None:
            yield template["spec"]


def _ready(node: Manifest) -> Iterator[Check]:
    name = node["metadata"]["name"]
    conditions = {item["type"]: item for item in node["status"].get("conditions", ())}
    ready = conditions.get("Ready", {"status": "Unknown"})
    if ready["status"] != "True":
        reason = f": {ready['message']}" if ready.get("message") else ""
        yield problem(_NAME, f"node {name} is not ready{reason}", f"kubectl describe node {name}")
    if node.get("spec", {}).get("unschedulable"):
        yield problem(_NAME, f"node {name} is cordoned: no new pod starts on it", f"kubectl uncordon {name}")


def _taints(node: Manifest, pods: Iterable[dict[str, Any]]) -> Iterator[Check]:
    name = node["metadata"]["name"]
    for taint in node.get("spec", {}).get("taints", ()):
        keeps_off = taint["effect"] in ("NoSchedule", "NoExecute")
        if not keeps_off or taint["key"].startswith(_OF_THE_CLUSTER):
            continue
        if not all(any(_tolerates(item, taint) for item in pod.get("tolerations", ())) for pod in pods):
            value = f"={taint['value']}" if taint.get("value") else ""
            written = f"{taint['key']}{value}:{taint['effect']}"
            found = f"node {name} has the taint {written}, which the stack's pods do not tolerate"
            fix = f"name another node, or remove it: kubectl taint node {name} {written}-"
            yield problem(_NAME, found, fix)


def _tolerates(toleration: dict[str, Any], taint: dict[str, Any]) -> bool:
    """As the scheduler compares them."""
    if toleration.get("effect") not in (None, "", taint["effect"]):
        return False
    if toleration.get("key") not in (None, "", taint["key"]):
        return False
    exists = toleration.get("operator") == "Exists"
    return exists or toleration.get("value", "") == taint.get("value", "")


def _skew(node: Manifest, server: str | None) -> Iterator[Check]:
    version = node["status"].get("nodeInfo", {}).get("kubeletVersion", "")
    kubelet, api = parse(version), parse(server or "")
    if kubelet is None or api is None or kubelet[0] != api[0]:
        return
    if not 0 <= api[1] - kubelet[1] <= _KUBELET_MINORS:
        found = f"node {node['metadata']['name']} has kubelet {version}, the API server is {server}"
        fix = f"upgrade: a kubelet may be up to {_KUBELET_MINORS} minor versions older and never newer"
        yield warning(_NAME, found, fix)
