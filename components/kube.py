"""Decides which Pulumi resource a manifest becomes; a kind that is not in the table is an error."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pulumi
import pulumi_kubernetes as k8s
from pulumi_kubernetes import apps, autoscaling, batch, core, networking, policy, scheduling

from tierup.manifests.common import RETAIN_ANNOTATION, Manifest, SecretRef
from tierup.manifests.waits import delete_seconds, ready_seconds

# A Node is never made here, only patched: the provider's NodePatch writes and removes single fields.
RESOURCES: dict[tuple[str, str], Callable[..., pulumi.CustomResource]] = {
    ("v1", "ConfigMap"): core.v1.ConfigMap,
    ("v1", "Namespace"): core.v1.Namespace,
    ("v1", "Node"): core.v1.NodePatch,
    ("v1", "PersistentVolume"): core.v1.PersistentVolume,
    ("v1", "PersistentVolumeClaim"): core.v1.PersistentVolumeClaim,
    ("v1", "ResourceQuota"): core.v1.ResourceQuota,
    ("v1", "Secret"): core.v1.Secret,
    ("v1", "Service"): core.v1.Service,
    ("v1", "ServiceAccount"): core.v1.ServiceAccount,
    ("apps/v1", "DaemonSet"): apps.v1.DaemonSet,
    ("apps/v1", "Deployment"): apps.v1.Deployment,
    ("apps/v1", "StatefulSet"): apps.v1.StatefulSet,
    ("autoscaling/v2", "HorizontalPodAutoscaler"): autoscaling.v2.HorizontalPodAutoscaler,
    ("batch/v1", "Job"): batch.v1.Job,
    ("networking.k8s.io/v1", "NetworkPolicy"): networking.v1.NetworkPolicy,
    ("policy/v1", "PodDisruptionBudget"): policy.v1.PodDisruptionBudget,
    ("scheduling.k8s.io/v1", "PriorityClass"): scheduling.v1.PriorityClass,
}
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


class UnknownKind(KeyError):
    """A manifest whose kind has no entry in the table."""


def resource_name(manifest: Manifest) -> str:
    """`kind-namespace-name`, unique in a stack."""
    metadata = manifest["metadata"]
    parts = (manifest["kind"].lower(), metadata.get("namespace"), metadata["name"])
    return "-".join(part for part in parts if part)


@dataclass(frozen=True)
class Kube:
    """One cluster: its provider, and where the values of secrets come from."""

    provider: k8s.Provider
    secret: Callable[[str], pulumi.Output[str]]

    def apply(
        self,
        manifests: Iterable[Manifest],
        parent: pulumi.Resource,
        depends_on: Sequence[pulumi.Resource] = (),
    ) -> dict[str, pulumi.CustomResource]:
        """Register each manifest as a child of `parent`; the result is keyed by resource name."""
        return {resource_name(m): self._register(m, parent, depends_on) for m in manifests}

    def _register(
        self, manifest: Manifest, parent: pulumi.Resource, depends_on: Sequence[pulumi.Resource]
    ) -> pulumi.CustomResource:
        key = (manifest["apiVersion"], manifest["kind"])
        if key not in RESOURCES:
            raise UnknownKind(f"{key[0]} {key[1]}: add it to components/kube.py RESOURCES")
        metadata = dict(manifest["metadata"])
        if key == ("v1", "Node"):
            metadata["annotations"] = {"pulumi.com/patchForce": "true"}
        body = {k: v for k, v in manifest.items() if k not in ("apiVersion", "kind", "metadata")}
        arguments = {_CAMEL.sub("_", k).lower(): self._with_secrets(v) for k, v in body.items()}
        ready, gone = f"{ready_seconds(manifest)}s", f"{delete_seconds(manifest)}s"
        options = pulumi.ResourceOptions(
            parent=parent,
            provider=self.provider,
            depends_on=list(depends_on),
            retain_on_delete=metadata.get("annotations", {}).get(RETAIN_ANNOTATION) == "true",
            custom_timeouts=pulumi.CustomTimeouts(create=ready, update=ready, delete=gone),
        )
        return RESOURCES[key](resource_name(manifest), metadata=metadata, opts=options, **arguments)

    def _with_secrets(self, value: Any) -> Any:
        """The same value with every secret's name replaced by its value, which stays a secret Output."""
        if isinstance(value, SecretRef):
            return self.secret(value.name)
        if isinstance(value, Mapping):
            return {key: self._with_secrets(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self._with_secrets(item) for item in value]
        return value
