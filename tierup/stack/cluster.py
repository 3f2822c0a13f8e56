"""The section `cluster` of a stack file: where the cluster is, and what its owners ask of every pod."""

import re
from enum import StrEnum
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field

from tierup.stack.key import key
from tierup.stack.sections import DnsName, NodeName, Strict

# What the bundle finds its own objects by.
_OWNED = re.compile(r"(tierup(\.[^/]*)?/.*|app\.kubernetes\.io/(name|instance|part-of))")
_NAME = r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?"
_PREFIXED = rf"^([a-z0-9]([-a-z0-9.]{{0,251}}[a-z0-9])?/)?{_NAME}$"


def _own(value: str) -> str:
    if _OWNED.fullmatch(value):
        raise ValueError("tierup sets this one itself")
    return value


def _text(value: object) -> object:
    """A quantity that YAML reads as a number."""
    return f"{value:g}" if isinstance(value, int | float) and not isinstance(value, bool) else value


TaintKey = Annotated[str, Field(pattern=_PREFIXED, max_length=317)]
LabelKey = Annotated[TaintKey, AfterValidator(_own)]
LabelValue = Annotated[str, Field(pattern=rf"^({_NAME})?$", max_length=63)]
AnnotationValue = Annotated[str, Field(max_length=10_000)]
# Kubernetes' resource quantities, in the notations that people write.
Cpu = Annotated[
    str, BeforeValidator(_text), Field(pattern=r"^([1-9][0-9]{0,5}m|[1-9][0-9]{0,2}|0\.[1-9]|[1-9]\.[1-9])$")
]
Memory = Annotated[str, Field(pattern=r"^[1-9][0-9]{0,5}(Mi|Gi)$")]
# Whole GPUs, by the names of their device plugins: nvidia.com/gpu, nvidia.com/gpu.shared, amd.com/gpu.
GPU_RESOURCE = "nvidia.com/gpu"  # the default
GPU_RESOURCE_FORM = r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?/[a-z]{0,20}gpu(\.shared)?"
MIG_RESOURCE_FORM = r"nvidia\.com/mig-[a-z0-9.]+"  # of MIG strategy `mixed`: derived from nodes.sharing
GpuResource = Annotated[str, Field(pattern=f"^{GPU_RESOURCE_FORM}$", max_length=300)]
Registry = Annotated[
    str,
    Field(
        pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?(:[1-9][0-9]{0,4})?(/[a-z0-9]+([-._]+[a-z0-9]+)*)*$",
        max_length=200,
    ),
]


class TolerationOperator(StrEnum):
    """How a toleration compares a taint's value: not at all, or exactly."""

    EXISTS = "Exists"
    EQUAL = "Equal"


class TaintEffect(StrEnum):
    """What a taint does to pods that do not tolerate it."""

    NO_SCHEDULE = "NoSchedule"
    PREFER_NO_SCHEDULE = "PreferNoSchedule"
    NO_EXECUTE = "NoExecute"


class Toleration(Strict):
    """A taint that the pods of the stack tolerate, as Kubernetes writes it."""

    taint: Annotated[TaintKey | None, key("Key of the taint; any by default", "dedicated", alias="key")] = (
        None
    )
    operator: Annotated[
        TolerationOperator | None, key("Comparison: `Equal` with a value, else `Exists`", "Equal")
    ] = None
    value: Annotated[LabelValue | None, key("Value of the taint", "llm")] = None
    effect: Annotated[TaintEffect | None, key("Effect of the taint; any by default", "NoSchedule")] = None


class PodSettings(Strict):
    """Labels and annotations of a component; labels also of its other objects."""

    labels: Annotated[
        dict[LabelKey, LabelValue] | None, key("Labels of its pods and objects", {"cost-center": "ml"})
    ] = None
    annotations: Annotated[
        dict[LabelKey, AnnotationValue] | None,
        key("Annotations of its pods", {"linkerd.io/inject": "disabled"}),
    ] = None


class SizedPodSettings(PodSettings):
    """Also the CPU and memory of its main container."""

    cpu: Annotated[Cpu | None, key("CPUs of its main container", "500m")] = None
    memory: Annotated[Memory | None, key("Memory of its main container", "512Mi")] = None


class Components(Strict):
    """What the pods of each component have beside what tierup gives them."""

    model_server: Annotated[PodSettings | None, key("The engines; their sizes are keys of a model")] = None
    model_fetch: Annotated[SizedPodSettings | None, key("The download of the models")] = None
    gateway: Annotated[
        SizedPodSettings | None, key("The pods of the gateway; the sizes are those of Nginx")
    ] = None
    prometheus: Annotated[SizedPodSettings | None, key("The pod of Prometheus")] = None
    grafana: Annotated[SizedPodSettings | None, key("The pod of Grafana")] = None


class Cluster(Strict):
    """The cluster of the stack, and what its owners ask of every pod."""

    kubeconfig: Annotated[
        str | None, key("Path of the kubeconfig; that of kubectl by default", "~/.kube/config", min_length=1)
    ] = None
    context: Annotated[str | None, key("Context of the kubeconfig", "my-cluster", min_length=1)] = None
    namespace: Annotated[DnsName | None, key("Namespace of the stack's objects", "llm")] = None
    registry: Annotated[
        Registry | None,
        key("Registry, with a path if it has one, that mirrors all images", "registry.example.com/mirror"),
    ] = None
    image_pull_secrets: Annotated[
        list[NodeName] | None,
        key(
            "Secrets with which images are pulled, where something else puts them into the namespace",
            ["pull"],
            min_length=1,
        ),
    ] = None
    runtime_class_name: Annotated[
        NodeName | None,
        key("RuntimeClass of the engines, where NVIDIA's runtime is not the default", "nvidia"),
    ] = None
    priority_class_name: Annotated[
        NodeName | None,
        key("PriorityClass of the cluster for the engines, instead of one of the stack", "high"),
    ] = None
    gpu_resource: Annotated[
        GpuResource | None, key("Resource by which pods ask for GPUs", "nvidia.com/gpu")
    ] = None
    tolerations: Annotated[
        list[Toleration] | None, key("Taints that all pods tolerate, beside that of GPU nodes", min_length=1)
    ] = None
    node_selector: Annotated[
        dict[LabelKey, LabelValue] | None, key("Labels that the nodes of all pods must have", {"pool": "llm"})
    ] = None
    model_storage_class: Annotated[
        NodeName | None, key("Storage class with ReadWriteMany for the files of all models", "nfs-client")
    ] = None
    components: Annotated[Components | None, key("Settings of the pods by component")] = None


def mirrored(image: str, registry: str | None) -> str:
    """The name of an image in a registry that mirrors it: the host of the name is replaced, the path stays.

    A name without a host is of Docker Hub, where images without an owner are in `library`.
    """
    if registry is None or image.startswith(f"{registry}/"):
        return image
    host, slash, path = image.partition("/")
    if not slash:
        return f"{registry}/library/{image}"
    has_host = any(sign in host for sign in ".:") or host == "localhost"
    return f"{registry}/{path if has_host else image}"


def toleration(item: Toleration) -> dict[str, Any]:
    """The toleration as Kubernetes reads it."""
    operator = item.operator
    if operator is None:
        operator = TolerationOperator.EXISTS if item.value is None else TolerationOperator.EQUAL
    given = {"key": item.taint, "operator": operator, "value": item.value, "effect": item.effect}
    return {name: str(value) for name, value in given.items() if value is not None}
