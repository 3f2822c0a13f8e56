"""Resolves the section `cluster`: what its owners ask of every pod, and the sizes of the pods beside the engines."""

from collections.abc import Mapping

from tierup.plan.chooser import Chooser
from tierup.plan.model import ClusterPlan, PodPlan, SharingPlan
from tierup.stack.cluster import GPU_RESOURCE, Cluster, Components, SizedPodSettings, toleration

GATEWAY = "gateway"
RELOADER_SIZE: Mapping[str, str] = {"cpu": "100m", "memory": "64Mi"}  # one Python process that mostly waits
# CPU and memory of the main container of each component, with the reason, by the component's key.
SIZES: Mapping[str, tuple[str, str, str]] = {
    "model_fetch": ("1", "2Gi", "one file at a time, checked while it is written"),
    "gateway": ("500m", "384Mi", "thousands of streams, as measured"),
    "prometheus": ("500m", "1Gi", "the series of one tier"),
    "grafana": ("500m", "512Mi", "a few boards and readers"),
}


def resolve_cluster(section: Cluster, sharing: SharingPlan | None, choose: Chooser) -> ClusterPlan:
    """The plan of the section; its namespace and registry are parts of the plan of their own."""
    _note_defaults(section, choose)
    given = section.components if section.components is not None else Components()
    return ClusterPlan(
        kubeconfig=section.kubeconfig,
        context=section.context,
        image_pull_secrets=tuple(section.image_pull_secrets or ()),
        runtime_class_name=section.runtime_class_name,
        priority_class_name=section.priority_class_name,
        gpu_resource=choose.pick(
            "cluster.gpuResource",
            section.gpu_resource,
            GPU_RESOURCE if sharing is None else sharing.resource,
            "the name that NVIDIA's device plugin gives",
        ),
        tolerations=tuple(toleration(item) for item in section.tolerations or ()),
        node_selector=dict(section.node_selector or {}),
        pods={name.replace("_", "-"): _pods(given, name, choose) for name in Components.model_fields},
    )


def _note_defaults(section: Cluster, choose: Chooser) -> None:
    notes = {
        "kubeconfig": (
            section.kubeconfig,
            "from the environment",
            "$KUBECONFIG, else ~/.kube/config; the preview shows it",
        ),
        "context": (section.context, "the kubeconfig's current one", "the preview shows it"),
        "registry": (section.registry, "none", "images come from where they are published"),
        "imagePullSecrets": (section.image_pull_secrets, "none", "the images are public"),
        "runtimeClassName": (
            section.runtime_class_name,
            "none",
            "NVIDIA's runtime is the default of most GPU nodes",
        ),
        "priorityClassName": (
            section.priority_class_name,
            "one of the stack",
            "engines are scheduled before other pods",
        ),
        "tolerations": (section.tolerations, "only the taint of GPU nodes", "no other taint is usual"),
        "nodeSelector": (section.node_selector, "none", "pods run only on the nodes of the stack anyway"),
        "components": (
            section.components,
            "only tierup's labels",
            "no label of the cluster's owners is known",
        ),
        "modelStorageClass": (
            section.model_storage_class,
            "none",
            "few clusters have a class with ReadWriteMany",
        ),
    }
    for name, (value, default, why) in notes.items():
        if value is None:
            choose.note(f"cluster.{name}", default, why)


def _pods(given: Components, name: str, choose: Chooser) -> PodPlan:
    settings = getattr(given, name)
    labels = dict(settings.labels or {}) if settings is not None else {}
    annotations = dict(settings.annotations or {}) if settings is not None else {}
    if name not in SIZES:
        return PodPlan(labels, annotations)
    cpu, memory, why = SIZES[name]
    sized = settings if isinstance(settings, SizedPodSettings) else SizedPodSettings()
    at = f"cluster.components.{Components.model_fields[name].alias}"
    size = {
        "cpu": choose.pick(f"{at}.cpu", sized.cpu, cpu, why),
        "memory": choose.pick(f"{at}.memory", sized.memory, memory, why),
    }
    return PodPlan(labels, annotations, size)
