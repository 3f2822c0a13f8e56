"""A user of a local cluster with a token and a kubeconfig of its own, and the roles that a test binds to it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import yaml

from tierup.local.cluster.cluster import Cluster

RBAC = "rbac.authorization.k8s.io/v1"


@dataclass(frozen=True)
class KubeUser:
    """A ServiceAccount of the namespace `default`; without a role it may only ask what it may do."""

    cluster: Cluster
    name: str
    kubeconfig: Path

    @classmethod
    def make(cls, cluster: Cluster, folder: Path) -> "KubeUser":
        name = f"user-{uuid4().hex[:6]}"
        cluster.api.create(
            {
                "apiVersion": "v1",
                "kind": "ServiceAccount",
                "metadata": {"name": name, "namespace": "default"},
            }
        )
        path = cluster.api.path("v1", "ServiceAccount", "default", name)
        request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
        token = cluster.api.request("POST", f"{path}/token", request)["status"]["token"]
        return cls(cluster, name, other_kubeconfig(cluster, folder / name, token=token))

    def has(self, manifests: list[dict[str, Any]]) -> None:
        """Create roles and what they need, and bind each to the user."""
        for manifest in manifests:
            self.cluster.api.apply(manifest)
            if manifest["kind"] in ("Role", "ClusterRole"):
                self.cluster.api.apply(self._binding(manifest))

    def _binding(self, role: dict[str, Any]) -> dict[str, Any]:
        return {
            "apiVersion": RBAC,
            "kind": f"{role['kind']}Binding",
            "metadata": {**role["metadata"], "name": f"{role['metadata']['name']}-{self.name}"},
            "roleRef": {
                "apiGroup": "rbac.authorization.k8s.io",
                "kind": role["kind"],
                "name": role["metadata"]["name"],
            },
            "subjects": [{"kind": "ServiceAccount", "name": self.name, "namespace": "default"}],
        }


def other_kubeconfig(cluster: Cluster, path: Path, *, token: str | None = None, **of_cluster: str) -> Path:
    """The cluster's kubeconfig with another token, or other values of its `cluster`."""
    document = yaml.safe_load(cluster.kubeconfig.read_text())
    document["clusters"][0]["cluster"].update(of_cluster)
    if token is not None:
        document["users"][0]["user"] = {"token": token}
    path.write_text(yaml.safe_dump(document))
    return path
