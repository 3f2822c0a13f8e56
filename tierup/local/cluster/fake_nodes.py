"""Fake Node and PersistentVolume objects of a simulated data centre.

Nodes have the labels that the GPU operator and feature discovery would set; volumes are a pool, created in advance.
Both are only API objects: KWOK simulates the kubelet and no process opens a volume.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tierup.local.cluster.api import WAIT_TIMEOUT_S, Api, Object
from tierup.local.cluster.storage_classes import access_modes, made_in_advance
from tierup.stack.cluster import GPU_RESOURCE

KWOK_ANNOTATION = "kwok.x-k8s.io/node"
GPU_TAINT: Mapping[str, str] = {"key": "nvidia.com/gpu", "value": "present", "effect": "NoSchedule"}
VOLUME_LABEL = "tierup.local/fake-volume"
PODS_PER_NODE = 110  # kubelet's --max-pods default
EVICTION_MEMORY_MIB = 100  # kubelet's evictionHard memory.available default
EVICTION_DISK_SHARE = 0.10  # kubelet's evictionHard nodefs.available default
# TEST-NET-1 (RFC 5737): no machine has this address.
_NFS_SERVER = "192.0.2.1"


@dataclass(frozen=True)
class FakeNode:
    """One simulated server; `gpu_product` is GPU feature discovery's label, such as NVIDIA-A100-80GB-PCIe."""

    name: str
    cpu: int  # logical CPUs
    memory_gib: int
    gpus: int = 0
    gpu_product: str = ""
    gpu_memory_mib: int = 0  # per GPU
    gpu_resource: str = GPU_RESOURCE
    ephemeral_gib: int = 1024
    extra_labels: Mapping[str, str] = field(default_factory=dict)
    taints: tuple[Mapping[str, str], ...] = ()  # in addition to the GPU taint of every node with GPUs


def gpu_labels(spec: FakeNode) -> dict[str, str]:
    """The labels that the GPU operator and GPU feature discovery set."""
    return {
        "nvidia.com/gpu.present": "true",
        "nvidia.com/gpu.product": spec.gpu_product,
        "nvidia.com/gpu.count": str(spec.gpus),
        "nvidia.com/gpu.memory": str(spec.gpu_memory_mib),
        "feature.node.kubernetes.io/pci-10de.present": "true",
    }


def fake_node(spec: FakeNode) -> dict[str, Any]:
    """The Node object with its status, as kubelet and the GPU operator would register it."""
    labels = {"kubernetes.io/hostname": spec.name, "kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64"}
    taints = [dict(taint) for taint in spec.taints]
    gpus: dict[str, str] = {}
    if spec.gpus > 0:
        gpus = {spec.gpu_resource: str(spec.gpus)}
        taints.insert(0, dict(GPU_TAINT))
        labels |= gpu_labels(spec)
    fixed = {"cpu": str(spec.cpu), "pods": str(PODS_PER_NODE), **gpus}
    memory_mib = spec.memory_gib * 1024
    disk_mib = spec.ephemeral_gib * 1024
    usable_disk_mib = int(disk_mib * (1 - EVICTION_DISK_SHARE))
    capacity = {**fixed, "memory": f"{memory_mib}Mi", "ephemeral-storage": f"{disk_mib}Mi"}
    allocatable = {
        **fixed,
        "memory": f"{memory_mib - EVICTION_MEMORY_MIB}Mi",
        "ephemeral-storage": f"{usable_disk_mib}Mi",
    }
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": spec.name,
            "labels": labels | dict(spec.extra_labels),
            "annotations": {KWOK_ANNOTATION: "fake"},
        },
        "spec": {"taints": taints},
        "status": {"capacity": capacity, "allocatable": allocatable},
    }


def apply_nodes(api: Api, nodes: Iterable[FakeNode], *, timeout: float = WAIT_TIMEOUT_S) -> None:
    """Register the nodes and wait until each is Ready; other nodes stay unchanged.

    Taints are set only at registration, as a kubelet does, so later changes to a node's taints stay.
    """
    specs = list(nodes)
    for spec in specs:
        node = fake_node(spec)
        path = api.path("v1", "Node", name=spec.name)
        if api.get("v1", "Node", spec.name) is None:
            api.create(node)
        else:
            api.merge(path, {"metadata": node["metadata"]})
            api.merge(f"{path}/status", {"status": node["status"]})
    deadline = time.monotonic() + timeout
    for spec in specs:
        api.wait("v1", "Node", spec.name, until=_ready, timeout=max(0.0, deadline - time.monotonic()))


def delete_node(api: Api, name: str) -> None:
    """Remove a server; the pod garbage collector deletes its pods within a minute."""
    api.delete("v1", "Node", name)


def ensure_volumes(
    api: Api, *, shared: int = 4, standard: int = 8, size: str = "2Ti", timeout: float = WAIT_TIMEOUT_S
) -> None:
    """Create the storage classes, and fake volumes until the given number of each class is free to be claimed.

    Released volumes are deleted and replaced: a static volume keeps its old claim's name and is never bound again.
    """
    pool = api.list_all("v1", "PersistentVolume", selector={VOLUME_LABEL: "true"})
    released = [v["metadata"]["name"] for v in pool if v["status"].get("phase") in ("Released", "Failed")]
    for name in released:
        api.delete("v1", "PersistentVolume", name)
    taken = {volume["metadata"]["name"] for volume in pool}
    volumes = []
    for storage_class, count in (("shared", shared), ("standard", standard)):
        api.apply(made_in_advance(storage_class))
        free = sum(_is_free(v) for v in pool if v["spec"]["storageClassName"] == storage_class)
        numbers = (i for i in range(len(pool) + count + 1) if f"fake-{storage_class}-{i}" not in taken)
        volumes += [_volume(storage_class, next(numbers), size) for _ in range(count - free)]
    api.apply(*volumes)
    for volume in volumes:
        api.wait("v1", "PersistentVolume", volume["metadata"]["name"], until=_has_phase, timeout=timeout)


def _volume(storage_class: str, number: int, size: str) -> dict[str, Any]:
    name = f"fake-{storage_class}-{number}"
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": name, "labels": {VOLUME_LABEL: "true"}},
        "spec": {
            "storageClassName": storage_class,
            "capacity": {"storage": size},
            "accessModes": access_modes(storage_class),
            "persistentVolumeReclaimPolicy": "Retain",
            "nfs": {"server": _NFS_SERVER, "path": f"/fake/{name}"},
        },
    }


def _is_free(volume: Object) -> bool:
    bound_to = volume["spec"].get("claimRef")
    return bound_to is None and "deletionTimestamp" not in volume["metadata"]


def _has_phase(volume: Mapping[str, Any] | None) -> bool:
    return volume is not None and volume["status"].get("phase") in ("Available", "Bound")


def _ready(node: Mapping[str, Any] | None) -> bool:
    conditions = node["status"].get("conditions", []) if node is not None else []
    tainted = {taint["key"] for taint in node["spec"].get("taints", [])} if node is not None else set()
    is_ready = any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)
    return is_ready and "node.kubernetes.io/not-ready" not in tainted
