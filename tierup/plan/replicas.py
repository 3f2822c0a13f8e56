"""How many replicas of each model the GPUs hold, and how pods are replaced without a deadlock."""

import math
from collections.abc import Iterable

from tierup.plan.model import ModelPlan, NodePlan, Rollout
from tierup.stack.sections import Model, Parallelism


def gpus_of(model: Model) -> tuple[int, int]:
    """Tensor and pipeline parallel sizes of one replica."""
    said = model.parallelism if model.parallelism is not None else Parallelism()
    return (said.tensor if said.tensor is not None else 1, said.pipeline if said.pipeline is not None else 1)


def at_rest(models: tuple[Model, ...], nodes: NodePlan) -> list[int]:
    """Replicas of each model before the autoscaler adds any: as said, else an equal part of what is left."""
    sizes = [math.prod(gpus_of(model)) for model in models]
    said = sum(
        size * model.replicas for size, model in zip(sizes, models, strict=True) if model.replicas is not None
    )
    open_models = sum(1 for model in models if model.replicas is None)
    return [
        model.replicas
        if model.replicas is not None
        else _held(size, (nodes.gpus_in_service - said) // open_models, nodes, len(nodes.in_service))
        for size, model in zip(sizes, models, strict=True)
    ]


def at_most(models: tuple[Model, ...], resting: list[int], nodes: NodePlan, ceiling: int | None) -> list[int]:
    """Replicas of each model that the autoscaler may reach: as said, else what the GPUs hold."""
    if ceiling is not None:
        return [max(count, ceiling) for count in resting]
    sizes = [math.prod(gpus_of(model)) for model in models]
    spare = max(
        0, nodes.gpus_schedulable - sum(size * count for size, count in zip(sizes, resting, strict=True))
    )
    return [
        max(count, _held(size, size * count + spare // len(models), nodes, len(nodes.schedulable)))
        for size, count in zip(sizes, resting, strict=True)
    ]


def _held(size: int, gpus: int, nodes: NodePlan, servers: int) -> int:
    """Replicas of so many GPUs each within `gpus`, at least one; a replica stays inside one server."""
    return max(1, min(gpus // size, nodes.gpus_per_server // size * servers))


def spare_replicas(index: int, sizes: list[int], counts: list[int], nodes: NodePlan) -> int:
    """Replicas of a model that surely fit beside every model at its most, wherever the others are.

    A server's GPUs are so many places for this model; a pod of another model of size s takes at worst
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
    """How pods are replaced: with every GPU busy, an old pod must leave before a new one can start.

    `spare_replicas` is how many more replicas the GPUs hold beside `max_replicas`. The percentage is the
    smallest that frees one pod at full size; it rounds down, so below full size (up to ten replicas) a new pod
    starts first.
    """
    if spare_replicas >= 1:
        return Rollout(recreate=False, max_surge=1, max_unavailable_percent=0)
    if max_replicas == 1:
        return Rollout(recreate=True)
    return Rollout(recreate=False, max_surge=1, max_unavailable_percent=math.ceil(100 / max_replicas))


def fits(replicas: Iterable[tuple[ModelPlan, int]], servers: int, gpus_per_server: int) -> bool:
    """Whether so many replicas of each model can be placed, largest first, each inside one server."""
    free = [gpus_per_server] * servers
    for size in sorted((model.gpus for model, count in replicas for _ in range(count)), reverse=True):
        place = next((at for at, left in enumerate(free) if left >= size), None)
        if place is None:
            return False
        free[place] -= size
    return True
