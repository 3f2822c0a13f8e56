"""The URL paths and API resources of the kinds that this bundle creates."""

from tierup.manifests.common import Manifest

PLURALS = {
    "Certificate": "certificates",
    "ConfigMap": "configmaps",
    "DaemonSet": "daemonsets",
    "Deployment": "deployments",
    "HTTPRoute": "httproutes",
    "HorizontalPodAutoscaler": "horizontalpodautoscalers",
    "Ingress": "ingresses",
    "Job": "jobs",
    "Namespace": "namespaces",
    "NetworkPolicy": "networkpolicies",
    "Node": "nodes",
    "PersistentVolume": "persistentvolumes",
    "PersistentVolumeClaim": "persistentvolumeclaims",
    "Pod": "pods",
    "PodDisruptionBudget": "poddisruptionbudgets",
    "PriorityClass": "priorityclasses",
    "ResourceQuota": "resourcequotas",
    "Secret": "secrets",
    "Service": "services",
    "ServiceAccount": "serviceaccounts",
    "StatefulSet": "statefulsets",
}


def namespaced(manifest: Manifest) -> bool:
    """Whether the object is in a namespace."""
    return "namespace" in manifest["metadata"]


def api_root(api_version: str) -> str:
    """The URL path of an API version: `/api/v1`, `/apis/apps/v1`."""
    return f"/api/{api_version}" if "/" not in api_version else f"/apis/{api_version}"


def collection(manifest: Manifest) -> str:
    """The URL path of a manifest's kind in its namespace."""
    namespace = manifest["metadata"].get("namespace")
    scope = f"/namespaces/{namespace}" if namespace is not None else ""
    return f"{api_root(manifest['apiVersion'])}{scope}/{PLURALS[manifest['kind']]}"
