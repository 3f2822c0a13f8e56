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
WEB = ("sh", "-c", "echo hello >/tmp/index.html && exec httpd -f -p 8080 -h /tmp")  # a web server


def claim(name: str, mode: str, storage_class: str | None = None) -> dict[str, Any]:
    """A claim of 1 GiB, on the default class if none is given."""
    named = {"storageClassName": storage_class} if storage_class is not None else {}
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {"accessModes": [mode], "resources": {"requests": {"storage": "1Gi"}}, **named},
    }


@dataclass(frozen=True)
class Pods:
    """Creates pods on the cluster's real node and runs commands in them."""

    cluster: Cluster
    namespace: str = NAMESPACE

    def kubectl(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        options = ["--kubeconfig", str(self.cluster.kubeconfig), "--namespace", self.namespace]
        command = [str(tool("kubectl")), *options, *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=120, check=check)

    def create(
        self, name: str, command: Sequence[str], *, claim: str = "", node: str = "", **container: Any
    ) -> None:
        """Create a pod that `restricted` Pod Security accepts; its label `app` is its name.

        The volume of `claim` is at /data, for the group 2000. Without `node`, the scheduler chooses one.
        """
        security = {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "runAsNonRoot": True,
            "capabilities": {"drop": ["ALL"]},
            "seccompProfile": {"type": "RuntimeDefault"},
        }
        main: dict[str, Any] = {
            "name": "main",
            "image": SANDBOX_IMAGE,
            "imagePullPolicy": "Never",
            "command": list(command),
            "securityContext": security,
            "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],
            **container,
        }
        spec: dict[str, Any] = {
            "containers": [main],
            "volumes": [{"name": "tmp", "emptyDir": {}}],
            "terminationGracePeriodSeconds": 1,
        }
        if node:
            spec["nodeSelector"] = {"kubernetes.io/hostname": node}
        if claim:
            main["volumeMounts"].append({"name": "data", "mountPath": "/data"})
            spec["volumes"].append({"name": "data", "persistentVolumeClaim": {"claimName": claim}})
            spec["securityContext"] = {"fsGroup": 2000}
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
