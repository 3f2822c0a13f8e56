"""Computes how many replicas of each model the GPUs hold, and how pods are replaced without a deadlock."""

import math
from collections.abc import Iterable

from tierup.plan.model import ModelPlan, NodePlan, Rollout
from tierup.stack.sections import Model, Parallelism


def parallel_sizes(model: Model) -> tuple[int, int]:
    """Tensor and pipeline parallel sizes of one replica."""
    section = model.parallelism if model.parallelism is not None else Parallelism()
    tensor = section.tensor if section.tensor is not None else 1
    return tensor, section.pipeline if section.pipeline is not None else 1


def base_replicas(models: tuple[Model, ...], nodes: NodePlan) -> list[int]:
    """Replicas of each model before the autoscaler adds any.

    Models without `replicas` share the GPUs that the others leave, equally.
    """
    sizes = [math.prod(parallel_sizes(model)) for model in models]
    fixed = sum(
        size * model.replicas for size, model in zip(sizes, models, strict=True) if model.replicas is not None
    )
    open_models = sum(1 for model in models if model.replicas is None)
    return [
        model.replicas
        if model.replicas is not None
        else _replicas_within(
            size, (nodes.gpus_in_service - fixed) // open_models, nodes, len(nodes.in_service)
        )
        for size, model in zip(sizes, models, strict=True)
    ]


def replica_limits(
    models: tuple[Model, ...], base: list[int], nodes: NodePlan, ceiling: int | None
) -> list[int]:
    """The most replicas of each model for the autoscaler: `ceiling`, else what the GPUs hold; never below `base`."""
    if ceiling is not None:
        return [max(count, ceiling) for count in base]
    sizes = [math.prod(parallel_sizes(model)) for model in models]
    spare = max(
        0, nodes.gpus_schedulable - sum(size * count for size, count in zip(sizes, base, strict=True))
    )
    return [
        max(count, _replicas_within(size, size * count + spare // len(models), nodes, len(nodes.schedulable)))
        for size, count in zip(sizes, base, strict=True)
    ]


def _replicas_within(size: int, gpus: int, nodes: NodePlan, servers: int) -> int:
    """Replicas of `size` GPUs each within `gpus`, at least one; a replica stays inside one server."""
    return max(1, min(gpus // size, nodes.gpus_per_server // size * servers))


def spare_replicas(index: int, sizes: list[int], counts: list[int], nodes: NodePlan) -> int:
    """Extra replicas of one model that fit beside `counts` replicas of each model, however those are placed.

    A server has `gpus_per_server // size` places for this model. A pod of another model with s GPUs blocks at most
    ceil(s / size) of them.
    """
    size = sizes[index]
    places = nodes.gpus_per_server // size * len(nodes.schedulable)
    others = sum(
        count * math.ceil(other / size)
        for at, (other, count) in enumerate(zip(sizes, counts, strict=True))
        if at != index
    )
    return max(0, places - counts[index] - others)


def rollout_of(max_replicas: int, spare_replicas: int) -> Rollout:
    """How pods are replaced: when every GPU is in use, an old pod must stop before a new one can start.

    `spare_replicas` is how many more replicas the GPUs hold beside `max_replicas`. The percentage is the smallest that
    frees one pod at `max_replicas`. It rounds down, so with fewer replicas (up to ten) a new pod starts first.
    """
    if spare_replicas >= 1:
        return Rollout(recreate=False, max_surge=1, max_unavailable_percent=0)
    if max_replicas == 1:
        return Rollout(recreate=True)
    return Rollout(recreate=False, max_surge=1, max_unavailable_percent=math.ceil(100 / max_replicas))


def fits(replicas: Iterable[tuple[ModelPlan, int]], servers: int, gpus_per_server: int) -> bool:
    """Whether the servers can hold these replicas of each model, placed largest first, each inside one server."""
    free = [gpus_per_server] * servers
    for size in sorted((model.gpus for model, count in replicas for _ in range(count)), reverse=True):
        index = next((at for at, left in enumerate(free) if left >= size), None)
        if index is None:
            return False
        free[index] -= size
    return True
