"""One local cluster with a real node; where the machine cannot run one, all tests here skip with the reasons."""

import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from polling import until

from tierup.local.cluster.cluster import Cluster
from tierup.local.node import problems
from tierup.local.node.config import SANDBOX_IMAGE
from tierup.local.toolchain import tool

NAMESPACE = "default"


@dataclass(frozen=True)
class Pods:
    """Creates pods on the cluster's real node and runs commands in them."""

    cluster: Cluster

    def kubectl(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        command = [str(tool("kubectl")), "--kubeconfig", str(self.cluster.kubeconfig), *arguments]
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
        metadata = {"name": name, "namespace": NAMESPACE, "labels": {"app": name}}
        self.cluster.api.create({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})

    def status(self, name: str) -> dict[str, Any]:
        pod = self.cluster.api.get("v1", "Pod", name, NAMESPACE)
        return {} if pod is None else pod["status"]

    def ready(self, name: str) -> bool:
        conditions = self.status(name).get("conditions", ())
        return any(item["type"] == "Ready" and item["status"] == "True" for item in conditions)

    def wait_ready(self, name: str) -> None:
        until(lambda: self.ready(name), f"pod {name} ready")

    def run(self, name: str, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a command in the pod's container."""
        return self.kubectl("exec", name, "--", *command, check=check)

    def restarts(self, name: str) -> int:
        (container,) = self.status(name)["containerStatuses"]
        count: int = container["restartCount"]
        return count


@pytest.fixture(scope="session")
def real_node_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for clusters with a real node; skips where none can run."""
    if reasons := problems():
        pytest.skip(f"NOT PROVEN, no real node can run here: {'; '.join(reasons)}")
    return tmp_path_factory.mktemp("nodes")


@pytest.fixture(scope="session")
def cluster(real_node_root: Path) -> Iterator[Cluster]:
    cluster = Cluster.up("real", root=real_node_root, real_node=True)
    yield cluster
    cluster.down()


@pytest.fixture
def pods(cluster: Cluster) -> Iterator[Pods]:
    yield Pods(cluster)
    cluster.api.request("DELETE", f"/api/v1/namespaces/{NAMESPACE}/pods", {"gracePeriodSeconds": 0})
    until(lambda: not cluster.api.list_all("v1", "Pod", NAMESPACE), "no pods")
