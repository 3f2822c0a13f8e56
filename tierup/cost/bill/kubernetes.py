"""The cost of one Kubernetes object by itself: volumes, a load balancer, the GPUs it holds, or nothing."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TypeVar

from tierup.cost.types import Volume
from tierup.resources.gpus import group_gpus, pod_gpus
from tierup.resources.ingress import controller_of
from tierup.resources.kinds import is_free, kind_of
from tierup.resources.model import Resource
from tierup.resources.reading import (
    Tree,
    Unreadable,
    checked_list,
    checked_mapping,
    checked_text,
    quantity,
    whole_number,
)

_GIB = Decimal(1024) ** 3
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class ObjectCost:
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
        self._replicas = dict(pair for item in scalers if (pair := _known(_scaled, item)) is not None)

    def cost(self, item: Resource) -> ObjectCost:
        """What the object brings. Raises `Unreadable`, also for a kind without a rule."""
        group, kind = kind_of(item)
        if is_free(item) or ((group, kind) == ("core", "PersistentVolume") and _is_node_disk(item)):
            return ObjectCost()
        spec = checked_mapping(item.inputs, "spec")
        match group, kind:
            case "core", "PersistentVolumeClaim":
                # A folder of a node was paid with the node.
                on_node = checked_text(spec, "volumeName") in self._node_disks - {None}
                return ObjectCost() if on_node else ObjectCost(volumes=(_volume(name_of(item), spec),))
            case "core", "Service":
                return ObjectCost(load_balancers=int(checked_text(spec, "type") == "LoadBalancer"))
            case "networking.k8s.io", "Ingress":
                return _of_ingress(spec)
            case "apps", "Deployment" | "StatefulSet":
                gpus = pod_gpus(checked_mapping(spec, "template", "spec"))
                return self._times(item, gpus, checked_list(spec, "volumeClaimTemplates"))
            case "leaderworkerset.x-k8s.io", "LeaderWorkerSet":
                return self._times(item, group_gpus(checked_mapping(spec, "leaderWorkerTemplate")))
        raise Unreadable(item.type)

    def _times(self, item: Resource, gpus: int, claims: Sequence[Tree] = ()) -> ObjectCost:
        """What its replicas at rest hold: by its own spec, else its autoscaler's least, else Kubernetes' one."""
        if not gpus and not claims:
            return ObjectCost()
        name, stated = name_of(item), checked_mapping(item.inputs, "spec").get("replicas")
        replicas = whole_number(stated if stated is not None else self._replicas.get(_key(item, name), 1))
        names = [f"{checked_text(checked_mapping(claim, 'metadata'), 'name')}-{name}" for claim in claims]
        volumes = [
            _volume(n, checked_mapping(c, "spec"), replicas)
            for n, c in zip(names, claims, strict=True)
            if replicas
        ]
        return ObjectCost(tuple(volumes), gpus=gpus * replicas)


def _of_ingress(spec: Tree) -> ObjectCost:
    """A load balancer of the cloud, or nothing for a controller that runs anyway; raises `Unreadable` for others."""
    class_name = checked_text(spec, "ingressClassName")
    controller = controller_of(class_name) if class_name is not None else None
    if controller is None:
        raise Unreadable("ingressClassName")
    return ObjectCost(load_balancers=int(controller.is_load_balancer))


def claimed(item: Resource) -> int:
    """GiB of a claim, wherever it lies; 0 for anything else. Raises `Unreadable`."""
    is_claim = kind_of(item) == ("core", "PersistentVolumeClaim")
    return _volume(item.name, checked_mapping(item.inputs, "spec")).gib if is_claim else 0


def by_name(volumes: Iterable[Volume]) -> tuple[Volume, ...]:
    """Volumes in the order of every bill."""
    return tuple(sorted(volumes, key=lambda volume: volume.name))


def _known(ask: Callable[[Resource], _T], item: Resource) -> _T | None:
    """The answer, or None where it cannot be read."""
    try:
        return ask(item)
    except Unreadable:
        return None


def label(item: Resource) -> str:
    """How a bill names what it cannot price."""
    return f"{item.type} {item.name}"


def name_of(item: Resource) -> str:
    """The object's own name, or Pulumi's where the provider makes one up. Raises `Unreadable`."""
    name = checked_text(checked_mapping(item.inputs, "metadata"), "name")
    return name if name is not None else item.name


def _key(item: Resource, name: str) -> tuple[str | None, str]:
    return checked_text(checked_mapping(item.inputs, "metadata"), "namespace"), name


def _is_node_disk(volume: Resource) -> bool:
    return bool({"local", "hostPath"} & checked_mapping(volume.inputs, "spec").keys())


def _scaled(autoscaler: Resource) -> tuple[tuple[str | None, str], object]:
    """What it scales, and to how many at least."""
    spec = checked_mapping(autoscaler.inputs, "spec")
    target = checked_text(checked_mapping(spec, "scaleTargetRef"), "name")
    least = spec.get("minReplicas")
    return _key(autoscaler, str(target)), least if least is not None else 1


def _volume(name: str, spec: Tree, count: int = 1) -> Volume:
    asked = quantity(checked_mapping(spec, "resources", "requests").get("storage"))
    return Volume(name, math.ceil(asked / _GIB), checked_text(spec, "storageClassName"), count)
