"""The servers, including spares, and volumes of a stack's local cluster: all simulated, or the first ones real.

A real server runs its pods on this machine. It claims the processors, memory and GPUs of the server in the stack
file, so that the tier's own objects fit it unchanged; there is no GPU behind the claim.
"""

from dataclasses import replace
from typing import Any

from tierup.local.cluster.api import Api
from tierup.local.cluster.cluster import Cluster, require_real_node
from tierup.local.cluster.fake_nodes import FakeNode, apply_nodes, ensure_volumes, gpu_labels
from tierup.local.cluster.folders import Echo, LocalClusterError
from tierup.local.cluster.hub import publish_tiny_models
from tierup.local.cluster.storage_classes import SHARED
from tierup.local.images import for_plan
from tierup.local.node import Claims, NodeSpec
from tierup.manifests.model_cache import NODE_FOLDER
from tierup.plan.model import Plan
from tierup.stack.sections import CacheKind, WeightsFrom

RUNTIME = "runc"  # the handler of any RuntimeClass; a real node has no other
PRIORITY = 1000


def fake_servers(plan: Plan) -> list[FakeNode]:
    """One server of the catalogue per node name of the plan, as kubelet and GPU feature discovery would report it."""
    server = plan.nodes.server
    return [
        FakeNode(
            name=name,
            cpu=server.cpu.threads.value,
            memory_gib=int(server.memory.gb.value / 1.073741824),
            gpus=plan.nodes.gpus_per_server,
            gpu_product=plan.nodes.gpu.product_label.value,
            gpu_memory_mib=plan.nodes.gpu.memory_mib.value,
            gpu_resource=plan.cluster.gpu_resource,
            ephemeral_gib=int(server.disk.tb.value * 931),
            extra_labels={**_sharing_labels(plan), **plan.cluster.node_selector},
        )
        for name in (*plan.nodes.in_service, *plan.nodes.standby)
    ]


def _sharing_labels(plan: Plan) -> dict[str, str]:
    """What GPU feature discovery says of shared cards, in MIG strategy `mixed` or with time slices."""
    sharing = plan.nodes.sharing
    if sharing is None:
        return {}
    cards = plan.nodes.server.gpus.value
    resource = plan.cluster.gpu_resource
    if sharing.profile is None:
        return {"nvidia.com/gpu.count": str(cards), "nvidia.com/gpu.replicas": str(sharing.per_card)}
    if resource != sharing.resource:  # strategy `single`: the labels of whole GPUs describe the instances
        return {}
    return {
        "nvidia.com/gpu.count": str(cards),
        "nvidia.com/mig.strategy": "mixed",
        f"{resource}.count": str(plan.nodes.gpus_per_server),
    }


def real_servers(plan: Plan, count: int) -> list[NodeSpec]:
    """The plan's servers that run pods as real nodes, `count` of them at most.

    Raises LocalClusterError with what of the plan they cannot stand for.
    """
    refused, needed = [], len(plan.nodes.schedulable)
    if needed > count:  # a simulated one would report pods as ready that do not exist
        refused.append(
            f"nodes: pods of this stack run on {needed} servers, and {count} would be real - add `--nodes {needed}`, "
            "or have fewer servers and no warm spares"
        )
    refused += [
        f"models[{number}].cache.storageClass: {name} - a local cluster's class for many writers is {SHARED}"
        for number, model in enumerate(plan.models)
        if model.cache_kind is CacheKind.SHARED and (name := model.cache_storage_class) != SHARED
    ]
    refused += [
        f"models[{number}].weights: {model.weights} - a local cluster has its own model hub and no other source: "
        "leave it out of the copy"
        for number, model in enumerate(plan.models)
        if model.weights.source is not WeightsFrom.HUB
    ]
    if refused:
        raise LocalClusterError("\n".join([*refused, "or leave out `--node real`"]))
    return [
        NodeSpec(server.name, Claims(server.cpu, server.memory_gib), (NODE_FOLDER,))
        for server in fake_servers(plan)[: min(count, needed)]
    ]


def with_images(servers: list[NodeSpec], plan: Plan, echo: Echo) -> list[NodeSpec]:
    """The nodes with the plan's images, which are made if they are not in the cache.

    Raises LocalClusterError if no real node can run here, or another TierError if an image cannot be made.
    """
    require_real_node()
    images = tuple(for_plan(plan, echo))
    return [replace(server, images=images) for server in servers]


def provide(cluster: Cluster, plan: Plan, echo: Echo) -> None:
    """Register the plan's servers and ensure that there are free volumes; a real one gets images and models' files."""
    servers = fake_servers(plan)
    ensure_classes(cluster.api, plan)
    if not cluster.nodes:
        apply_nodes(cluster.api, servers)
        ensure_volumes(cluster.api)
        return
    publish_tiny_models(cluster.folder, plan)
    real, images = len(cluster.nodes), for_plan(plan, echo)
    for node, server in zip(cluster.nodes, servers[:real], strict=True):
        node.import_images(images, echo)
        claim_gpus(cluster.api, server)
    apply_nodes(cluster.api, servers[real:])


def ensure_classes(api: Api, plan: Plan) -> None:
    """Create the classes that the stack file expects of its cluster, if they are not there."""
    runtime, priority = plan.cluster.runtime_class_name, plan.cluster.priority_class_name
    classes = []
    if runtime is not None:
        classes.append(
            {"apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass", "handler": RUNTIME} | _named(runtime)
        )
    if priority is not None:
        kind = {"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass"}
        classes.append(kind | {"value": PRIORITY} | _named(priority))
    for item in classes:
        if api.get(str(item["apiVersion"]), str(item["kind"]), item["metadata"]["name"]) is None:
            api.create(item)


def _named(name: str) -> dict[str, Any]:
    return {"metadata": {"name": name}}


def claim_gpus(api: Api, server: FakeNode) -> None:
    """Report GPUs on a real node, as a device plugin and GPU feature discovery would.

    The node has no GPU taint: the cluster's own pods, such as its DNS, have no other node.
    """
    path = api.path("v1", "Node", name=server.name)
    resource = server.gpu_resource
    api.merge(path, {"metadata": {"labels": {**gpu_labels(server), **server.extra_labels}}})
    api.merge(f"{path}/status", {"status": {"capacity": {resource: str(server.gpus)}}})
    api.wait("v1", "Node", server.name, until=lambda node: _allocatable(node, resource) == server.gpus)


def _allocatable(node: dict[str, object] | None, resource: str) -> int:
    status = node["status"] if node is not None else {}
    assert isinstance(status, dict)
    return int(status.get("allocatable", {}).get(resource, 0))
