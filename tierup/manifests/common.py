"""What all objects of a tier have in common: identity, names, security, placement, network rules."""

import hashlib
import json
from typing import Any

from tierup.plan.model import Plan, PodPlan
from tierup.resources.identity import STACK_LABEL
from tierup.stack.parse import PROJECT_LABEL

Manifest = dict[str, Any]


GPU_TOLERATION = {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}

IMAGE_PULL = "image-pull"  # the secret of the stack, and the Secret that holds it

ENGINE_PORT = 8000
GATEWAY_PORT = 8080
GATEWAY_STATUS_PORT = 8081
PROMETHEUS_PORT = 9090
GRAFANA_PORT = 3000

MODEL_SERVER, MODEL_FETCH, GATEWAY, PROMETHEUS, GRAFANA = (
    "model-server",
    "model-fetch",
    "gateway",
    "prometheus",
    "grafana",
)


class SecretRef(str):
    """The name of a stack secret, in place of which Pulumi's engine puts its value; prints as a reference."""

    __slots__ = ("name",)
    name: str

    def __new__(cls, name: str) -> "SecretRef":
        self = super().__new__(cls, f"${{tierup:secret-{name}}}")
        self.name = name
        return self


def selector(plan: Plan, component: str, instance: str | None = None) -> dict[str, str]:
    """Labels that select the pods of a component, or of one instance of it."""
    labels = {"app.kubernetes.io/name": component, STACK_LABEL: plan.stack}
    return labels if instance is None else {**labels, "app.kubernetes.io/instance": instance}


def _pods(plan: Plan, component: str) -> PodPlan:
    return plan.cluster.pods.get(component, PodPlan())


def obj(
    plan: Plan,
    api_version: str,
    kind: str,
    name: str,
    component: str,
    *,
    instance: str | None = None,
    namespaced: bool = True,
    annotations: dict[str, str] | None = None,
    **body: Any,
) -> Manifest:
    """One object with its identity labels; `body` holds spec, data and the like."""
    metadata: dict[str, Any] = {"name": name}
    if namespaced:
        metadata["namespace"] = plan.namespace
    metadata["labels"] = {
        **_pods(plan, component).labels,
        **selector(plan, component, instance),
        "app.kubernetes.io/part-of": PROJECT_LABEL,
    }
    if annotations:
        metadata["annotations"] = annotations
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata, **body}


def content_hash(data: object) -> str:
    """Ten hexadecimal digits that change with the content."""
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()[:10]


def config_map(
    plan: Plan, name: str, component: str, data: dict[str, str], instance: str | None = None
) -> Manifest:
    """A config map whose name contains a hash of its content, so that a change rolls the pods and a no-op does not."""
    return obj(
        plan,
        "v1",
        "ConfigMap",
        f"{name}-{content_hash(data)}",
        component,
        instance=instance,
        immutable=True,
        data=data,
    )


def service_account(
    plan: Plan, component: str, instance: str | None = None, name: str | None = None
) -> Manifest:
    """An account without a token: nothing here talks to the API server."""
    return obj(
        plan,
        "v1",
        "ServiceAccount",
        name if name is not None else component,
        component,
        instance=instance,
        automountServiceAccountToken=False,
    )


def service(
    plan: Plan,
    name: str,
    component: str,
    ports: dict[str, int],
    *,
    instance: str | None = None,
    headless: bool = False,
    **spec: Any,
) -> Manifest:
    """A Service over a component's pods; Pulumi awaits the pods, so it need not await the addresses."""
    body: dict[str, Any] = {
        "selector": selector(plan, component, instance),
        "ports": [
            {"name": key, "port": port, "targetPort": key, "protocol": "TCP"} for key, port in ports.items()
        ],
        **spec,
    }
    if headless:
        body["clusterIP"] = "None"
    skip = {"pulumi.com/skipAwait": "true"}
    return obj(plan, "v1", "Service", name, component, instance=instance, annotations=skip, spec=body)


def image_pull_secrets(plan: Plan) -> list[Manifest]:
    """The Secrets with which kubelets pull the images of the stack's pods."""
    own = [IMAGE_PULL] if IMAGE_PULL in plan.secrets else []
    return [{"name": name} for name in (*own, *plan.cluster.image_pull_secrets)]


def tolerations(plan: Plan) -> list[Manifest]:
    """The taints that every pod of the stack tolerates."""
    return [GPU_TOLERATION, *map(dict, plan.cluster.tolerations)]


def pod_spec(
    plan: Plan,
    user: int,
    account: str,
    containers: list[Manifest],
    volumes: list[Manifest],
    **more: Any,
) -> Manifest:
    """A pod that passes Pod Security `restricted`, without a service-account token, as the cluster's owners want it."""
    secrets, nodes = image_pull_secrets(plan), dict(plan.cluster.node_selector)
    return {
        "serviceAccountName": account,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        **({"imagePullSecrets": secrets} if secrets else {}),
        **({"nodeSelector": nodes} if nodes else {}),
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": user,
            "runAsGroup": user,
            "fsGroup": user,
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": containers,
        "volumes": volumes,
        "tolerations": tolerations(plan),
        **more,
    }


def pod_template(plan: Plan, component: str, pod: Manifest, instance: str | None = None) -> Manifest:
    """The template of a component's pods, with the labels and annotations of the stack file."""
    own = _pods(plan, component)
    metadata: Manifest = {"labels": {**own.labels, **selector(plan, component, instance)}}
    if own.annotations:
        metadata["annotations"] = dict(own.annotations)
    return {"metadata": metadata, "spec": pod}


def sized(plan: Plan, component: str, disk: str) -> dict[str, str]:
    """CPU and memory of a component's main container, and its space on the node's disk."""
    size = _pods(plan, component).size
    assert size is not None, component
    return {**size, "ephemeral-storage": disk}


def container(name: str, image: str, resources: dict[str, str], **more: Any) -> Manifest:
    """A container without privileges; `resources` are request and limit alike: no node overcommits them."""
    return {
        "name": name,
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "resources": {"requests": dict(resources), "limits": dict(resources)},
        **more,
    }


def disruption_budget(plan: Plan, name: str, component: str, instance: str | None = None) -> Manifest:
    """One pod may leave at a time, so that a drain makes progress and never empties the service by itself."""
    spec = {
        "maxUnavailable": 1,
        "selector": {"matchLabels": selector(plan, component, instance)},
        "unhealthyPodEvictionPolicy": "AlwaysAllow",
    }
    return obj(plan, "policy/v1", "PodDisruptionBudget", name, component, instance=instance, spec=spec)


DNS_EGRESS: Manifest = {
    "to": [{"namespaceSelector": {}, "podSelector": {"matchLabels": {"k8s-app": "kube-dns"}}}],
    "ports": [{"protocol": protocol, "port": 53} for protocol in ("UDP", "TCP")],
}


def peers(plan: Plan, *components: str) -> list[Manifest]:
    """Pods of this stack's components as network policy peers."""
    return [{"podSelector": {"matchLabels": selector(plan, component)}} for component in components]


def tcp(*ports: int) -> list[Manifest]:
    """Ports of a network policy rule."""
    return [{"protocol": "TCP", "port": port} for port in ports]


def network_policy(plan: Plan, component: str, ingress: list[Manifest], egress: list[Manifest]) -> Manifest:
    """The allowed ingress and egress of a component; everything else stays denied."""
    return obj(
        plan,
        "networking.k8s.io/v1",
        "NetworkPolicy",
        component,
        component,
        spec={
            "podSelector": {"matchLabels": selector(plan, component)},
            "policyTypes": ["Ingress", "Egress"],
            "ingress": ingress,
            "egress": egress,
        },
    )
