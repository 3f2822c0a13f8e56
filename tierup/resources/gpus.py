"""The GPUs that containers, pods and groups of pods hold. All of it raises `Unreadable` where a count is unknown.

A count is a limit: Kubernetes takes no request of GPUs without an equal limit. Init containers run before the others,
on the same GPUs.
"""

import re

from tierup.resources.reading import Tree, checked_list, checked_mapping, whole_number
from tierup.stack.cluster import GPU_RESOURCE_FORM, MIG_RESOURCE_FORM


def container_gpus(container: Tree) -> int:
    """GPUs of one container."""
    limits = checked_mapping(container, "resources", "limits")
    form = f"{GPU_RESOURCE_FORM}|{MIG_RESOURCE_FORM}"
    counts = {name: count for name, count in limits.items() if re.fullmatch(form, name)}
    return sum(whole_number(count) for count in counts.values() if count is not None)


def pod_gpus(spec: Tree) -> int:
    """GPUs of a pod, by its spec."""
    return sum(map(container_gpus, checked_list(spec, "containers")))


def group_gpus(spec: Tree) -> int:
    """GPUs of a LeaderWorkerSet's group, by `leaderWorkerTemplate`; without its own template the leader is a worker."""
    size, leader = spec.get("size"), checked_mapping(spec, "leaderTemplate")
    worker = pod_gpus(checked_mapping(spec, "workerTemplate", "spec"))
    others = (whole_number(size) if size is not None else 1) - 1
    return (pod_gpus(checked_mapping(leader, "spec")) if leader else worker) + worker * others
