"""Check that the cluster's storage classes can serve the plan's volume claims."""

from collections.abc import Iterable, Mapping
from typing import Any

from tierup.catalog.provisioners import BY_HAND, ONE_NODE, limit_of
from tierup.findings.model import Code, Finding
from tierup.io.cluster.client import Cluster
from tierup.io.cluster.paths import collection
from tierup.manifests.common import Manifest
from tierup.plan.model import Plan

_MANY = "ReadWriteMany"
_DEFAULT_CLASS = (
    "storageclass.kubernetes.io/is-default-class",
    "storageclass.beta.kubernetes.io/is-default-class",
)


def storage_findings(cluster: Cluster, plan: Plan, manifests: Iterable[Manifest]) -> list[Finding]:
    """Claims that no storage class can serve: they and their pods would stay pending."""
    listed = cluster.get("/apis/storage.k8s.io/v1/storageclasses") or {"items": []}
    classes = {item["metadata"]["name"]: item for item in listed["items"]}
    findings = []
    for claim in manifests:
        if claim["kind"] != "PersistentVolumeClaim" or "volumeName" in claim["spec"]:
            continue
        requested = claim["spec"].get("storageClassName")
        if requested is None:
            findings.extend(_without_class(cluster, claim, classes))
        elif requested not in classes:
            findings.append(_missing(claim, requested, classes))
        elif _MANY in claim["spec"]["accessModes"]:
            findings.extend(_one_writer(cluster, plan, claim, classes[requested]))
    return findings


def _missing(claim: Manifest, requested: str, classes: Iterable[str]) -> Finding:
    problem = "the cluster has no such storage class"
    fix = "name one of them in cluster.modelStorageClass, cache.storageClass or monitoring.storageClass"
    return Finding(
        Code.NO_STORAGE_CLASS, _path(claim), problem, fix, requested, ", ".join(sorted(classes)) or "none"
    )


def _without_class(
    cluster: Cluster, claim: Manifest, classes: Mapping[str, Mapping[str, Any]]
) -> list[Finding]:
    """A claim that names no class where none is the default, unless it is bound or a volume without a class is free."""
    if any(_is_default(item["metadata"]) for item in classes.values()):
        return []
    existing = cluster.get(f"{collection(claim)}/{claim['metadata']['name']}") or {}
    bound = existing.get("status", {}).get("phase") == "Bound"
    if bound or _made_by_hand(cluster, claim, "", claim["spec"]["accessModes"][0]):
        return []
    problem = "names no storage class, and the cluster has no default one"
    fix = "name one of them in cache.storageClass or monitoring.storageClass, or make one the default"
    return [
        Finding(
            Code.NO_STORAGE_CLASS, _path(claim), problem, fix, allowed=", ".join(sorted(classes)) or "none"
        )
    ]


def _is_default(metadata: Mapping[str, Any]) -> bool:
    annotations = metadata.get("annotations") or {}
    return any(annotations.get(key) == "true" for key in _DEFAULT_CLASS)


def _path(claim: Manifest) -> str:
    return f"persistentvolumeclaim/{claim['metadata']['name']}"


def _one_writer(
    cluster: Cluster, plan: Plan, claim: Manifest, storage_class: Mapping[str, Any]
) -> list[Finding]:
    """A storage class that many nodes need but whose provisioner is known to create volumes for one node only."""
    provisioner = storage_class["provisioner"]
    limit = limit_of(provisioner)
    nodes = len(plan.nodes.in_service) + len(plan.nodes.standby)
    if limit is None or (limit == ONE_NODE and nodes == 1):
        return []
    name = storage_class["metadata"]["name"]
    if _made_by_hand(cluster, claim, name, _MANY):
        return []
    what = "has no free volume that serves" if limit == BY_HAND else "makes no volume that serves"
    why = f"which {nodes} nodes need" if nodes > 1 else "which a shared cache asks for"
    problem = f"storage class {name} {what} {_MANY}, {why}"
    fix = (
        "name a class that does in cluster.modelStorageClass (NFS, CephFS, EFS, Filestore, Azure Files), "
        "or none: each node then keeps its own files"
    )
    return [Finding(Code.ONE_WRITER, _path(claim), problem, fix, provisioner)]


def _made_by_hand(cluster: Cluster, claim: Manifest, storage_class: str, mode: str) -> bool:
    """Whether a manually created volume with this access mode is free for this claim, or is bound to it already."""
    requested = (claim["metadata"]["namespace"], claim["metadata"]["name"])
    for volume in (cluster.get("/api/v1/persistentvolumes") or {"items": []})["items"]:
        spec, holder = volume["spec"], volume["spec"].get("claimRef")
        free = holder is None or (holder["namespace"], holder["name"]) == requested
        free = free and volume.get("status", {}).get("phase") not in ("Released", "Failed")
        if free and spec.get("storageClassName", "") == storage_class and mode in spec["accessModes"]:
            return True
    return False
