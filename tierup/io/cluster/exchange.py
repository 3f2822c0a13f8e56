"""Check that a rollout with removed and new models does not need more GPUs than there are."""

from typing import Any

from tierup.findings.model import Code, Finding
from tierup.io.cluster.client import Cluster
from tierup.manifests.common import MODEL_SERVER
from tierup.manifests.model_server import workload_name
from tierup.plan.model import Plan
from tierup.resources.gpus import pod_gpus


def exchange_findings(cluster: Cluster, plan: Plan) -> list[Finding]:
    """A removed model holds its GPUs until the new one is up; with too few GPUs the rollout never ends."""
    listed = cluster.get(f"/apis/apps/v1/namespaces/{plan.namespace}/deployments") or {"items": []}
    live = {
        item["metadata"]["name"]: item
        for item in listed["items"]
        if item["metadata"].get("labels", {}).get("app.kubernetes.io/name") == MODEL_SERVER
    }
    planned = {workload_name(model): model for model in plan.models}
    removed = {name: _gpus_held(item) for name, item in live.items() if name not in planned}
    added = [name for name in planned if name not in live]
    needed = sum(model.replicas * model.gpus for model in plan.models)
    if not removed or not added or needed + sum(removed.values()) <= plan.nodes.gpus_schedulable:
        return []
    problem = (
        f"{', '.join(removed)} would hold {sum(removed.values())} of {plan.nodes.gpus_schedulable} GPUs until "
        f"{', '.join(added)} is up, which needs them: a rollout without an end"
    )
    fix = "give the new model the old one's name, or remove the old one with an `up` of its own first"
    return [Finding(Code.EXCHANGE_BLOCKED, "models", problem, fix)]


def _gpus_held(deployment: dict[str, Any]) -> int:
    return pod_gpus(deployment["spec"]["template"]["spec"]) * int(deployment["status"].get("replicas", 0))
