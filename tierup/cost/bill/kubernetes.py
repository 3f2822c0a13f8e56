"""Decides what one Kubernetes object costs by itself: volumes, a load balancer, the GPUs it holds, or nothing."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TypeVar

from tierup.cost.types import Volume
from tierup.resources.kinds import is_free, kind_of
from tierup.resources.model import Resource
from tierup.resources.values import NotTold, Tree, at, listed, quantity, text, whole

GPU = "nvidia.com/gpu"
_GIB = Decimal(1024) ** 3
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Cost:
    """What one object brings to a bill."""

    volumes: tuple[Volume, ...] = ()
    load_balancers: int = 0
    gpus: int = 0


class Objects:
    """The objects of one program: what one costs can hang on another."""

    def __init__(self, resources: Iterable[Resource]) -> None:
        kinds = [(*kind_of(item), item) for item in resources]
        volumes = [item for _, kind, item in kinds if kind == "PersistentVolume"]
        scalers = [item for _, kind, item in kinds if kind == "HorizontalPodAutoscaler"]
        self._node_disks = {_known(name_of, item) for item in volumes if _known(_is_node_disk, item)}
        self._replicas = dict(found for item in scalers if (found := _known(_scaled, item)) is not None)

    def cost(self, item: Resource) -> Cost:
        """What it brings. Raises `NotTold`, also for a kind that nobody here can price."""
        if is_free(item):
            return Cost()
        group, kind = kind_of(item)
        spec = at(item.inputs, "spec")
        match group, kind:
            case "core", "PersistentVolumeClaim":
                # A folder of a node was paid with the node.
                on_node = text(spec, "volumeName") in self._node_disks - {None}
                return Cost() if on_node else Cost(volumes=(_volume(name_of(item), spec),))
            case "core", "PersistentVolume" if _is_node_disk(item):
                return Cost()
            case "core", "Service":
                return Cost(load_balancers=int(text(spec, "type") == "LoadBalancer"))
            case "apps", "Deployment" | "StatefulSet":
                gpus = _pod_gpus(at(spec, "template", "spec"))
                return self._times(item, gpus, listed(spec, "volumeClaimTemplates"))
            case "leaderworkerset.x-k8s.io", "LeaderWorkerSet":
                return self._times(item, _group_gpus(at(spec, "leaderWorkerTemplate")))
        raise NotTold(item.type)

    def _times(self, item: Resource, gpus: int, claims: Sequence[Tree] = ()) -> Cost:
        """What its replicas at rest hold: by its own word, else its autoscaler's least, else Kubernetes' one."""
        if not gpus and not claims:
            return Cost()
        name, said = name_of(item), at(item.inputs, "spec").get("replicas")
        replicas = whole(said if said is not None else self._replicas.get(_key(item, name), 1))
        names = [f"{text(at(claim, 'metadata'), 'name')}-{name}" for claim in claims]
        volumes = [
            _volume(n, at(c, "spec"), replicas) for n, c in zip(names, claims, strict=True) if replicas
        ]
        return Cost(tuple(volumes), gpus=gpus * replicas)


def claimed(item: Resource) -> int:
    """GiB of a claim, wherever it lies; 0 for anything else. Raises `NotTold`."""
    is_claim = kind_of(item) == ("core", "PersistentVolumeClaim")
    return _volume(item.name, at(item.inputs, "spec")).gib if is_claim else 0


def by_name(volumes: Iterable[Volume]) -> tuple[Volume, ...]:
    """Volumes in the order of every bill."""
    return tuple(sorted(volumes, key=lambda volume: volume.name))


def _known(ask: Callable[[Resource], _T], item: Resource) -> _T | None:
    """The answer, or None where it is not told."""
    try:
        return ask(item)
    except NotTold:
        return None


def name_of(item: Resource) -> str:
    """The object's own name, or Pulumi's where the provider makes one up. Raises `NotTold`."""
    name = text(at(item.inputs, "metadata"), "name")
    return name if name is not None else item.name


def _key(item: Resource, name: str) -> tuple[str | None, str]:
    return text(at(item.inputs, "metadata"), "namespace"), name


def _is_node_disk(volume: Resource) -> bool:
    return bool({"local", "hostPath"} & at(volume.inputs, "spec").keys())


def _scaled(autoscaler: Resource) -> tuple[tuple[str | None, str], object]:
    """What it scales, and to how many at least."""
    spec = at(autoscaler.inputs, "spec")
    target = text(at(spec, "scaleTargetRef"), "name")
    least = spec.get("minReplicas")
    return _key(autoscaler, str(target)), least if least is not None else 1


def _volume(name: str, spec: Tree, count: int = 1) -> Volume:
    asked = quantity(at(spec, "resources", "requests").get("storage"))
    return Volume(name, math.ceil(asked / _GIB), text(spec, "storageClassName"), count)


def _group_gpus(group: Tree) -> int:
    """GPUs of a leader and its workers; the leader is a worker where it has no template of its own."""
    worker = _pod_gpus(at(group, "workerTemplate", "spec"))
    leader = at(group, "leaderTemplate")
    size = group.get("size")
    workers = whole(size if size is not None else 1) - 1
    return (_pod_gpus(at(leader, "spec")) if leader else worker) + worker * workers


def _pod_gpus(pod: Tree) -> int:
    containers = [at(item, "resources", "limits") for item in listed(pod, "containers")]
    return sum(whole(limits.get(GPU, 0)) for limits in containers)
