"""The types of our components, and which Kubernetes kinds cost nothing by themselves."""

from tierup.resources.model import Resource

TIER, NODES, MODEL = "tierup:index:InferenceTier", "tierup:nodes:GpuNodes", "tierup:model:ModelServer"

# Kinds that cost nothing by themselves, by API group: they configure the cluster, or run on nodes that are
# priced. What is not here has a price of its own, or none that is known: a Gateway, say, may be a load balancer.
FREE: dict[str, frozenset[str]] = {
    "core": frozenset(
        {"ConfigMap", "Endpoints", "LimitRange", "Namespace", "Node", "Pod", "PodTemplate"}
        | {"ReplicationController", "ResourceQuota", "Secret", "ServiceAccount"}
    ),
    "apps": frozenset({"ControllerRevision", "DaemonSet", "ReplicaSet"}),
    "autoscaling": frozenset({"HorizontalPodAutoscaler"}),
    "batch": frozenset({"CronJob", "Job"}),
    "policy": frozenset({"PodDisruptionBudget"}),
    "networking.k8s.io": frozenset({"IngressClass", "NetworkPolicy"}),
    "rbac.authorization.k8s.io": frozenset({"ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"}),
    "scheduling.k8s.io": frozenset({"PriorityClass"}),
    "storage.k8s.io": frozenset({"CSIDriver", "StorageClass"}),
    "node.k8s.io": frozenset({"RuntimeClass"}),
    "coordination.k8s.io": frozenset({"Lease"}),
    "discovery.k8s.io": frozenset({"EndpointSlice"}),
    "apiextensions.k8s.io": frozenset({"CustomResourceDefinition"}),
    "apiregistration.k8s.io": frozenset({"APIService"}),
    "admissionregistration.k8s.io": frozenset(
        {"MutatingWebhookConfiguration", "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"}
        | {"ValidatingWebhookConfiguration"}
    ),
    "monitoring.coreos.com": frozenset({"PodMonitor", "Probe", "PrometheusRule", "ServiceMonitor"}),
    "gateway.networking.k8s.io": frozenset(
        {"GatewayClass", "GRPCRoute", "HTTPRoute", "ReferenceGrant", "TCPRoute", "TLSRoute", "UDPRoute"}
    ),
    "cert-manager.io": frozenset({"Certificate", "CertificateRequest", "ClusterIssuer", "Issuer"}),
    "keda.sh": frozenset({"ScaledObject", "TriggerAuthentication"}),
}


def kind_of(resource: Resource) -> tuple[str, str]:
    """API group and kind of a Kubernetes resource; two empty texts where it is something else."""
    package, _, rest = resource.type.partition(":")
    group, _, name = rest.partition(":")
    return (group.partition("/")[0], name) if package == "kubernetes" else ("", "")


def is_free(resource: Resource) -> bool:
    """Whether it costs nothing by itself; a patch of an object costs what the object does."""
    group, name = kind_of(resource)
    return name.removesuffix("Patch") in FREE.get(group, frozenset())
