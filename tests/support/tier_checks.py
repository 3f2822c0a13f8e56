"""Checks for every running tier that is scheduled on simulated nodes."""

import time
from collections import Counter
from typing import Any

from tiers import Tier

from tierup.cli.tier_page import gpus_of_pod, settled_pods
from tierup.local.cluster.api import WAIT_TIMEOUT_S
from tierup.manifests.placement import up_roles


def manager_of_replicas(deployment: dict[str, Any]) -> set[str]:
    """The field managers that own `spec.replicas`."""
    fields = deployment["metadata"]["managedFields"]
    return {entry["manager"] for entry in fields if "f:replicas" in entry["fieldsV1"].get("f:spec", {})}


def running_pods(tier: Tier) -> list[dict[str, Any]]:
    """The stack's pods once all run and the base replicas exist, or as they are at the deadline.

    Not everything is awaited by `up`: the autoscaler raises the replicas later, a fetch on each node may start later.
    """
    deadline = time.monotonic() + WAIT_TIMEOUT_S
    while True:
        pods = settled_pods(tier.cluster, tier.plan)
        settled = all(pod["status"].get("phase") in ("Running", "Succeeded") for pod in pods)
        if (settled and sum(map(gpus_of_pod, pods)) == tier.plan.gpus_used) or time.monotonic() > deadline:
            return pods


def check_pods(tier: Tier) -> None:
    """All pods run on servers in service with the planned GPU, and no server holds more GPUs than it has."""
    plan = tier.plan
    pods = running_pods(tier)
    nodes = {node["metadata"]["name"]: node for node in tier.cluster.api.list_all("v1", "Node")}
    held: Counter[str] = Counter()
    for pod in pods:
        name = pod["metadata"]["name"]
        fetches_to_node = name.startswith("fetch-models-")
        assert pod["status"]["phase"] in ("Running", "Succeeded"), f"{name} is {pod['status']['phase']}"
        labels = nodes[pod["spec"]["nodeName"]]["metadata"]["labels"]
        assert labels["tierup/stack"] == plan.stack
        assert labels["nvidia.com/gpu.product"] == plan.nodes.gpu.product_label.value
        # Pods without GPUs may run on a warm spare, where they survive the loss of the only server.
        roles = ["serving"] if gpus_of_pod(pod) else up_roles(plan)
        role = labels["tierup/role"]
        assert role in roles or fetches_to_node, f"{name} runs on a {role}"
        held[pod["spec"]["nodeName"]] += gpus_of_pod(pod)
    assert sum(held.values()) == plan.gpus_used
    for name, count in held.items():
        assert count <= int(nodes[name]["status"]["allocatable"]["nvidia.com/gpu"])


def check_autoscalers(tier: Tier) -> None:
    """Each model has one autoscaler with the planned bounds, and no other field manager owns its replicas."""
    plan = tier.plan
    scalers = {
        item["metadata"]["name"]: item["spec"]
        for item in tier.objects("autoscaling/v2", "HorizontalPodAutoscaler")
    }
    deployments = {item["metadata"]["name"]: item for item in tier.objects("apps/v1", "Deployment")}
    assert set(scalers) == {f"model-{model.slug}" for model in plan.models}
    for model in plan.models:
        spec = scalers[f"model-{model.slug}"]
        assert (spec["minReplicas"], spec["maxReplicas"]) == (model.replicas, model.max_replicas)
        assert spec["scaleTargetRef"]["name"] in deployments
        assert not {
            owner for owner in manager_of_replicas(deployments[f"model-{model.slug}"]) if "pulumi" in owner
        }
