"""Decides whether a cluster may take a plan: nodes are as planned, and no object is somebody else's."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import yaml

from tierup.findings import Code, Finding
from tierup.manifests.common import MODEL_SERVER, STACK_LABEL, Manifest
from tierup.manifests.model_server import workload_name
from tierup.plan import Plan

_TIMEOUT_SECONDS = 5
# Plural names of the kinds this bundle makes, for reading them back.
_PLURALS = {
    "ConfigMap": "configmaps",
    "DaemonSet": "daemonsets",
    "Deployment": "deployments",
    "HorizontalPodAutoscaler": "horizontalpodautoscalers",
    "Job": "jobs",
    "Namespace": "namespaces",
    "NetworkPolicy": "networkpolicies",
    "PersistentVolume": "persistentvolumes",
    "PersistentVolumeClaim": "persistentvolumeclaims",
    "PodDisruptionBudget": "poddisruptionbudgets",
    "PriorityClass": "priorityclasses",
    "ResourceQuota": "resourcequotas",
    "Secret": "secrets",
    "Service": "services",
    "ServiceAccount": "serviceaccounts",
    "StatefulSet": "statefulsets",
}


class ClusterError(Exception):
    """The cluster cannot be asked; the message says which one and why."""


@dataclass(frozen=True)
class ClusterRef:
    """Which cluster: a kubeconfig and a context, and whether the stack file names them."""

    kubeconfig: str
    context: str
    server: str
    ambient: bool

    def __str__(self) -> str:
        how = (
            "the ambient kubeconfig; set tierup:cluster to choose"
            if self.ambient
            else "named by tierup:cluster"
        )
        return f"context '{self.context}' of {self.kubeconfig} at {self.server} ({how})"


class Cluster:
    """A read-only view of one Kubernetes API."""

    def __init__(self, kubeconfig: str | None, context: str | None) -> None:
        """Raises `ClusterError` when the kubeconfig or its context cannot be used."""
        # Its configuration code knows every way to log in (certificates, tokens, exec plugins), so we need none.
        from kubernetes import config
        from kubernetes.config import kube_config

        path = kubeconfig if kubeconfig is not None else kube_config.KUBE_CONFIG_DEFAULT_LOCATION
        try:
            contexts, active = config.list_kube_config_contexts(path)
            name = context if context is not None else active["name"]
            if name not in [item["name"] for item in contexts]:
                raise ClusterError(f"kubeconfig {path} has no context '{name}'")
            self._api: Any = config.new_client_from_config(path, context=name)
        except (config.ConfigException, yaml.YAMLError, OSError) as error:
            raise ClusterError(f"kubeconfig {path} cannot be used: {error}") from error
        ambient = kubeconfig is None and context is None
        self.ref = ClusterRef(path, name, self._api.configuration.host, ambient)

    def get(self, path: str) -> dict[str, Any] | None:
        """An API object or list, None where it does not exist; raises `ClusterError` when the API does not answer."""
        import json

        from kubernetes.client import ApiException
        from urllib3 import Retry
        from urllib3.exceptions import HTTPError

        self._api.rest_client.pool_manager.connection_pool_kw["retries"] = Retry(
            connect=1, read=1, backoff_factor=0.2
        )
        try:
            response = self._api.call_api(
                *self._api.param_serialize(
                    "GET", path, header_params={"Accept": "application/json"}, auth_settings=["BearerToken"]
                ),
                _request_timeout=_TIMEOUT_SECONDS,
            )
            response.read()
        except ApiException as error:
            raise ClusterError(
                f"{self.ref.server} answers {error.status} to {path}: {error.reason}"
            ) from error
        except HTTPError as error:
            raise ClusterError(f"{self.ref.server} does not answer: {type(error).__name__}") from error
        if response.status == 404:
            return None
        if response.status >= 400:
            raise ClusterError(f"{self.ref.server} answers {response.status} to {path}: {response.reason}")
        found: dict[str, Any] = json.loads(response.data)
        return found


def object_path(api_version: str, kind: str, namespace: str | None) -> str:
    """The URL path of a kind's collection."""
    root = f"/api/{api_version}" if "/" not in api_version else f"/apis/{api_version}"
    return f"{root}/namespaces/{namespace}/{_PLURALS[kind]}" if namespace else f"{root}/{_PLURALS[kind]}"


def foreign_objects(cluster: Cluster, plan: Plan, manifests: Iterable[Manifest]) -> list[Finding]:
    """Objects of the plan that exist without this stack's label: adopted, they would be deleted later."""
    found: list[Finding] = []
    gone: dict[str, bool] = {}
    held: dict[str, dict[str, Any]] = {}
    for manifest in manifests:
        kind, metadata = manifest["kind"], manifest["metadata"]
        if kind == "Node":
            continue
        namespace = metadata.get("namespace")
        if namespace is not None:
            if namespace not in gone:
                gone[namespace] = cluster.get(f"/api/v1/namespaces/{namespace}") is None
            if gone[namespace]:
                continue
        path = object_path(manifest["apiVersion"], kind, namespace)
        if namespace is None:
            one = cluster.get(f"{path}/{metadata['name']}")
            labels = None if one is None else one["metadata"].get("labels", {})
        else:
            if path not in held:
                listed = cluster.get(path) or {"items": []}
                held[path] = {
                    item["metadata"]["name"]: item["metadata"].get("labels", {}) for item in listed["items"]
                }
            labels = held[path].get(metadata["name"])
        if labels is not None and labels.get(STACK_LABEL) != plan.stack:
            name = f"{kind.lower()}/{metadata['name']}"
            problem = f"exists in the cluster and is not this stack's (no label {STACK_LABEL}={plan.stack})"
            fix = "delete or rename it, set cluster.namespace, or label it to hand it over"
            found.append(Finding(Code.FOREIGN_OBJECT, name, problem, fix, labels.get(STACK_LABEL)))
    return found


def storage_findings(cluster: Cluster, manifests: Iterable[Manifest]) -> list[Finding]:
    """Storage classes that claims ask for and the cluster lacks: their pods would wait for ever."""
    listed = cluster.get("/apis/storage.k8s.io/v1/storageclasses") or {"items": []}
    there = {item["metadata"]["name"] for item in listed["items"]}
    found = []
    for manifest in manifests:
        wanted = manifest.get("spec", {}).get("storageClassName")
        if manifest["kind"] != "PersistentVolumeClaim" or wanted is None or "volumeName" in manifest["spec"]:
            continue
        if wanted not in there:
            name = f"persistentvolumeclaim/{manifest['metadata']['name']}"
            fix = "name one of them in cache.storageClass or monitoring.storageClass"
            allowed = ", ".join(sorted(there)) or "none"
            found.append(
                Finding(
                    Code.NO_STORAGE_CLASS, name, "the cluster has no such storage class", fix, wanted, allowed
                )
            )
    return found


def exchange_findings(cluster: Cluster, plan: Plan) -> list[Finding]:
    """A model that leaves holds its GPUs until the one that comes is up: with too few GPUs, both wait for ever."""
    listed = cluster.get(object_path("apps/v1", "Deployment", plan.namespace)) or {"items": []}
    live = {
        item["metadata"]["name"]: item
        for item in listed["items"]
        if item["metadata"].get("labels", {}).get("app.kubernetes.io/name") == MODEL_SERVER
    }
    wanted = {workload_name(model): model for model in plan.models}
    leaving = {name: _gpus_held(item) for name, item in live.items() if name not in wanted}
    coming = [name for name in wanted if name not in live]
    needed = sum(model.replicas * model.gpus for model in plan.models)
    if not leaving or not coming or needed + sum(leaving.values()) <= plan.nodes.gpus_schedulable:
        return []
    problem = (
        f"{', '.join(leaving)} would hold {sum(leaving.values())} of {plan.nodes.gpus_schedulable} GPUs until "
        f"{', '.join(coming)} is up, which needs them: a rollout without an end"
    )
    fix = "give the new model the old one's name, or remove the old one with an `up` of its own first"
    return [Finding(Code.EXCHANGE_BLOCKED, "models", problem, fix)]


def _gpus_held(deployment: dict[str, Any]) -> int:
    containers = deployment["spec"]["template"]["spec"]["containers"]
    each = sum(int(item["resources"].get("limits", {}).get("nvidia.com/gpu", "0")) for item in containers)
    return each * int(deployment["status"].get("replicas", 0))


def node_findings(cluster: Cluster, plan: Plan) -> list[Finding]:
    """Nodes that are missing, belong to another stack, or are not what the catalogue's server is."""
    listed = cluster.get("/api/v1/nodes") or {"items": []}
    there = {item["metadata"]["name"]: item for item in listed["items"]}
    product = plan.nodes.gpu.product_label.value
    like = [
        name
        for name, node in there.items()
        if node["metadata"].get("labels", {}).get("nvidia.com/gpu.product") == product
    ]
    found: list[Finding] = []
    for index, name in enumerate((*plan.nodes.in_service, *plan.nodes.standby)):
        at = f"nodes.names[{index}]"
        if name not in there:
            hint = f"nodes with {product}: {', '.join(sorted(like)) or 'none'}"
            fix = "set nodes.names to the nodes to adopt"
            found.append(Finding(Code.NODE_MISSING, at, f"the cluster has no such node; {hint}", fix, name))
            continue
        found.extend(_node_mismatch(plan, there[name], at))
    return found


def _node_mismatch(plan: Plan, node: dict[str, Any], at: str) -> list[Finding]:
    found: list[Finding] = []
    name, labels = node["metadata"]["name"], node["metadata"].get("labels", {})
    owner = labels.get(STACK_LABEL)
    if owner not in (None, plan.stack):
        found.append(
            Finding(Code.NODE_TAKEN, at, f"node {name} serves the stack '{owner}'", "name another node", name)
        )
    product, wanted = labels.get("nvidia.com/gpu.product"), plan.nodes.gpu.product_label.value
    if product != wanted:
        fix = "name another node, another server, or install GPU feature discovery"
        problem = f"node {name} is not a {plan.nodes.server_id}: label nvidia.com/gpu.product"
        found.append(Finding(Code.NODE_MISMATCH, at, problem, fix, product or "none", wanted))
    gpus = int(node["status"].get("allocatable", {}).get("nvidia.com/gpu", "0"))
    if gpus < plan.nodes.gpus_per_server:
        problem = f"node {name} offers fewer GPUs than a {plan.nodes.server_id}"
        fix = "check the device plugin, or name another node"
        found.append(
            Finding(Code.NODE_MISMATCH, at, problem, fix, str(gpus), str(plan.nodes.gpus_per_server))
        )
    return found
