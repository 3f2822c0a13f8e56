"""Register Kubernetes manifests as Pulumi resources."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import pulumi
import pulumi_kubernetes as k8s

from tierup.manifests.common import Manifest, SecretRef
from tierup.manifests.waits import delete_seconds, ready_seconds
from tierup.resources.identity import RETAIN_ANNOTATION

# Type tokens of the provider's schema. Resources are registered by token, because importing and translating the SDK's
# typed classes takes longer than our whole program (docs/adr/0009-resources-by-token.md).
# A Node is never created, only patched: the provider's NodePatch sets and removes single fields.
RESOURCES: dict[tuple[str, str], str] = {
    ("v1", "ConfigMap"): "kubernetes:core/v1:ConfigMap",
    ("v1", "Namespace"): "kubernetes:core/v1:Namespace",
    ("v1", "Node"): "kubernetes:core/v1:NodePatch",
    ("v1", "PersistentVolume"): "kubernetes:core/v1:PersistentVolume",
    ("v1", "PersistentVolumeClaim"): "kubernetes:core/v1:PersistentVolumeClaim",
    ("v1", "ResourceQuota"): "kubernetes:core/v1:ResourceQuota",
    ("v1", "Secret"): "kubernetes:core/v1:Secret",
    ("v1", "Service"): "kubernetes:core/v1:Service",
    ("v1", "ServiceAccount"): "kubernetes:core/v1:ServiceAccount",
    ("apps/v1", "DaemonSet"): "kubernetes:apps/v1:DaemonSet",
    ("apps/v1", "Deployment"): "kubernetes:apps/v1:Deployment",
    ("apps/v1", "StatefulSet"): "kubernetes:apps/v1:StatefulSet",
    ("autoscaling/v2", "HorizontalPodAutoscaler"): "kubernetes:autoscaling/v2:HorizontalPodAutoscaler",
    ("batch/v1", "Job"): "kubernetes:batch/v1:Job",
    ("cert-manager.io/v1", "Certificate"): "kubernetes:cert-manager.io/v1:Certificate",
    ("gateway.networking.k8s.io/v1", "HTTPRoute"): "kubernetes:gateway.networking.k8s.io/v1:HTTPRoute",
    ("networking.k8s.io/v1", "Ingress"): "kubernetes:networking.k8s.io/v1:Ingress",
    ("networking.k8s.io/v1", "NetworkPolicy"): "kubernetes:networking.k8s.io/v1:NetworkPolicy",
    ("policy/v1", "PodDisruptionBudget"): "kubernetes:policy/v1:PodDisruptionBudget",
    ("scheduling.k8s.io/v1", "PriorityClass"): "kubernetes:scheduling.k8s.io/v1:PriorityClass",
}
_VERSION = version("pulumi-kubernetes")
# Fields that are secret, both as inputs and as outputs of the cluster.
_SECRET_FIELDS = {"Secret": ["data", "stringData"]}


class UnsupportedKind(KeyError):
    """A manifest whose kind is not in RESOURCES."""


def resource_name(manifest: Manifest) -> str:
    """`kind-namespace-name`, unique in a stack."""
    metadata = manifest["metadata"]
    parts = (manifest["kind"].lower(), metadata.get("namespace"), metadata["name"])
    return "-".join(part for part in parts if part)


def makes_pods(manifest: Manifest) -> bool:
    """Whether a controller creates pods from this object."""
    return "template" in manifest.get("spec", {})


def prerequisites(
    manifests: Iterable[Manifest], registered: Mapping[str, pulumi.CustomResource]
) -> list[pulumi.CustomResource]:
    """The resources that pods of these manifests need: all that create no pods themselves."""
    return [registered[resource_name(m)] for m in manifests if not makes_pods(m)]


@dataclass(frozen=True)
class Kube:
    """One cluster's provider, and the function that returns the value of a secret."""

    provider: k8s.Provider
    secret: Callable[[str], pulumi.Output[str]]

    def apply(
        self,
        manifests: Iterable[Manifest],
        parent: pulumi.Resource,
        depends_on: Sequence[pulumi.Resource] = (),
    ) -> dict[str, pulumi.CustomResource]:
        """Register each manifest as a child of `parent`; returns the resources by name.

        Objects that create pods depend on all others: a pod without its service account or claim fails or waits.
        """
        ordered = sorted(manifests, key=makes_pods)
        resources: dict[str, pulumi.CustomResource] = {}
        for manifest in ordered:
            needed = [*depends_on, *prerequisites(ordered, resources)] if makes_pods(manifest) else depends_on
            resources[resource_name(manifest)] = self._register(manifest, parent, needed)
        return resources

    def _register(
        self, manifest: Manifest, parent: pulumi.Resource, depends_on: Sequence[pulumi.Resource]
    ) -> pulumi.CustomResource:
        key = (manifest["apiVersion"], manifest["kind"])
        if key not in RESOURCES:
            raise UnsupportedKind(f"{key[0]} {key[1]}: add it to components/kube.py RESOURCES")
        metadata = dict(manifest["metadata"])
        if key == ("v1", "Node"):
            metadata["annotations"] = {"pulumi.com/patchForce": "true"}
        properties = {**{k: self._with_secrets(v) for k, v in manifest.items()}, "metadata": metadata}
        for field in _SECRET_FIELDS.get(manifest["kind"], ()):
            if field in properties:
                properties[field] = pulumi.Output.secret(properties[field])
        ready_timeout, delete_timeout = f"{ready_seconds(manifest)}s", f"{delete_seconds(manifest)}s"
        options = pulumi.ResourceOptions(
            parent=parent,
            provider=self.provider,
            version=_VERSION,
            depends_on=list(depends_on),
            retain_on_delete=metadata.get("annotations", {}).get(RETAIN_ANNOTATION) == "true",
            additional_secret_outputs=_SECRET_FIELDS.get(manifest["kind"]),
            custom_timeouts=pulumi.CustomTimeouts(
                create=ready_timeout, update=ready_timeout, delete=delete_timeout
            ),
        )
        return pulumi.CustomResource(RESOURCES[key], resource_name(manifest), properties, options)

    def _with_secrets(self, value: Any) -> Any:
        """A copy with every SecretRef replaced by its value, which is a secret Output."""
        if isinstance(value, SecretRef):
            return self.secret(value.name)
        if isinstance(value, Mapping):
            return {key: self._with_secrets(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self._with_secrets(item) for item in value]
        return value
