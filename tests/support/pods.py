"""Create pods on a local cluster's real node and run commands in them."""

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from polling import until

from tierup.local.cluster.cluster import Cluster
from tierup.local.node.config import SANDBOX_IMAGE
from tierup.local.toolchain import tool

NAMESPACE = "default"


@dataclass(frozen=True)
class Pods:
    """Creates pods on the cluster's real node and runs commands in them."""

    cluster: Cluster
    namespace: str = NAMESPACE

    def kubectl(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        options = ["--kubeconfig", str(self.cluster.kubeconfig), "--namespace", self.namespace]
        command = [str(tool("kubectl")), *options, *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=120, check=check)

    def create(self, name: str, command: Sequence[str], **container: Any) -> None:
        """Create a pod that `restricted` Pod Security accepts; its label `app` is its name."""
        security = {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "runAsNonRoot": True,
            "capabilities": {"drop": ["ALL"]},
            "seccompProfile": {"type": "RuntimeDefault"},
        }
        main = {
            "name": "main",
            "image": SANDBOX_IMAGE,
            "imagePullPolicy": "Never",
            "command": list(command),
            "securityContext": security,
            "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],
            **container,
        }
        spec = {
            "containers": [main],
            "volumes": [{"name": "tmp", "emptyDir": {}}],
            "terminationGracePeriodSeconds": 1,
        }
        metadata = {"name": name, "namespace": self.namespace, "labels": {"app": name}}
        self.cluster.api.create({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})

    def status(self, name: str) -> dict[str, Any]:
        pod = self.cluster.api.get("v1", "Pod", name, self.namespace)
        return {} if pod is None else pod["status"]

    def ready(self, name: str) -> bool:
        conditions = self.status(name).get("conditions", ())
        return any(item["type"] == "Ready" and item["status"] == "True" for item in conditions)

    def wait_ready(self, name: str) -> None:
        until(lambda: self.ready(name), f"pod {name} ready")

    def run(
        self, name: str, *command: str, check: bool = True, container: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a command in the pod's container; one of several is named."""
        which = () if container is None else ("-c", container)
        return self.kubectl("exec", name, *which, "--", *command, check=check)

    def restarts(self, name: str) -> int:
        """The restarts of all the pod's containers together."""
        return sum(container["restartCount"] for container in self.status(name)["containerStatuses"])
