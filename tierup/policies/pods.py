"""Finds the pods and containers in a resource: Kubernetes workloads and LeaderWorkerSets."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tierup.resources.kinds import kind_of
from tierup.resources.model import Resource
from tierup.resources.reading import dig, fields, mappings

Keys = tuple[str, ...]
_TEMPLATE: Keys = ("spec", "template", "spec")
GROUP: Keys = ("spec", "leaderWorkerTemplate")
LEADER, WORKER = (*GROUP, "leaderTemplate", "spec"), (*GROUP, "workerTemplate", "spec")
LEADER_WORKER_SET = ("leaderworkerset.x-k8s.io", "LeaderWorkerSet")
# Patch resources are left out: they contain only what they change.
_PODS: dict[tuple[str, str], tuple[Keys, ...]] = {
    ("core", "Pod"): (("spec",),),
    ("core", "PodTemplate"): (("template", "spec"),),
    ("core", "ReplicationController"): (_TEMPLATE,),
    ("apps", "Deployment"): (_TEMPLATE,),
    ("apps", "StatefulSet"): (_TEMPLATE,),
    ("apps", "DaemonSet"): (_TEMPLATE,),
    ("apps", "ReplicaSet"): (_TEMPLATE,),
    ("batch", "Job"): (_TEMPLATE,),
    ("batch", "CronJob"): (("spec", "jobTemplate", "spec", "template", "spec"),),
    LEADER_WORKER_SET: (LEADER, WORKER),
}
_CONTAINERS = ("initContainers", "containers", "ephemeralContainers")


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a resource's inputs, with its path: the spec of a pod, or a container."""

    path: str
    spec: Mapping[str, Any]


def pods(resource: Resource) -> Iterator[Part]:
    """The specs of the pods that a resource is or creates."""
    for keys in _PODS.get(kind_of(resource), ()):
        spec = fields(dig(resource.inputs, *keys))
        if spec:
            yield Part(".".join(keys), spec)


def containers(pod: Part) -> Iterator[Part]:
    """Every container of a pod."""
    for key in _CONTAINERS:
        for index, spec in mappings(pod.spec.get(key)):
            yield Part(f"{pod.path}.{key}[{index}]", spec)
