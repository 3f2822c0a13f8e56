"""Checks what a stack file asks of the cluster beside nodes: tolerations, and where the models are kept."""

from collections.abc import Iterator

from tierup.findings.model import Code, Finding, Severity
from tierup.plan.model import Plan
from tierup.stack.parse import CacheKind


def tolerations(plan: Plan) -> Iterator[Finding]:
    """What Kubernetes refuses in a toleration, and what matches no taint."""
    for index, item in enumerate(plan.cluster.tolerations):
        at = f"cluster.tolerations[{index}]"
        if item["operator"] == "Exists" and "value" in item:
            problem, fix = "Exists compares no value", "leave out the value, or use the operator Equal"
            yield Finding(Code.TOLERATION, f"{at}.value", problem, fix, item["value"], "none")
        if item["operator"] == "Equal" and "key" not in item:
            problem, fix = "Equal compares the value of one key", "name the key, or use the operator Exists"
            yield Finding(Code.TOLERATION, f"{at}.key", problem, fix, "none")


def own_copies(plan: Plan) -> Iterator[Finding]:
    """Several servers that each fetch their own files of a model, because no class with ReadWriteMany is named."""
    servers = len(plan.nodes.in_service) + len(plan.nodes.standby)
    if servers < 2:
        return
    for index, model in enumerate(plan.models):
        if model.weights.fetched and model.cache_kind is CacheKind.NODE:
            problem = f"each of {servers} servers fetches and keeps its own files of {model.name}"
            fix = "name a storage class with ReadWriteMany in cluster.modelStorageClass: one fetch then serves all"
            got = f"cache.kind {model.cache_kind}, {model.cache_gib} GiB a server"
            yield Finding(
                Code.OWN_COPIES, f"models[{index}].cache", problem, fix, got, severity=Severity.NOTE
            )
