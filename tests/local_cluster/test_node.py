"""A local cluster's real node runs pods as any Kubernetes node does, and leaves nothing on the machine."""

import os
import signal
import subprocess
from pathlib import Path

import psutil
import pytest
from conftest import NAMESPACE, Pods
from polling import until

from tierup.local.cluster.cluster import Cluster, LocalClusterError, down, status
from tierup.local.machine import processes
from tierup.local.node import COMPONENTS, Node, cgroups
from tierup.local.node.namespaces import SYSCTLS

WEB = ("sh", "-c", "echo hello >/tmp/index.html && exec httpd -f -p 8080 -h /tmp")


def machine() -> dict[str, set[str]]:
    """What a node could leave on this machine."""
    links = subprocess.run(["ip", "-brief", "link"], capture_output=True, text=True, check=True).stdout
    return {
        "interfaces": {line.split()[0].split("@")[0] for line in links.splitlines()},
        "mounts": set(Path("/proc/self/mounts").read_text().splitlines()),
        "groups": {str(path) for root in cgroups.hierarchies() for path in root.glob("tierup-*")},
        "namespaces": {path.name for path in Path("/run/netns").glob("*")},
        "sysctls": {f"{name}={Path('/proc/sys', name).read_text().strip()}" for name in SYSCTLS},
        "programs": {
            name
            for process in psutil.process_iter(["name"])
            if (name := process.info["name"]).startswith(("containerd", "kube", "runc", "etcd"))
        },
    }


def test_a_pod_runs_without_privileges_and_its_log_can_be_read(cluster: Cluster, pods: Pods) -> None:
    cluster.api.merge(
        f"/api/v1/namespaces/{NAMESPACE}",
        {"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "restricted"}}},
    )
    pods.create("plain", ["sh", "-c", "id -u; touch /no || echo read-only; exec sleep 1000"])
    pods.wait_ready("plain")
    assert cluster.node is not None
    assert pods.status("plain")["hostIP"] == cluster.node.address
    until(lambda: "read-only" in pods.kubectl("logs", "plain").stdout, "the log")
    assert pods.kubectl("logs", "plain").stdout.splitlines()[0] == "65534"
    capabilities = pods.run("plain", "grep", "CapEff", "/proc/self/status").stdout
    assert int(capabilities.split()[1], 16) == 0
    assert "Seccomp:\t2" in pods.run("plain", "grep", "Seccomp:", "/proc/self/status").stdout


def test_pods_reach_each_other_and_a_service(cluster: Cluster, pods: Pods) -> None:
    pods.create("web", WEB, readinessProbe={"httpGet": {"path": "/", "port": 8080}, "periodSeconds": 1})
    pods.create("client", ["sleep", "1000"])
    pods.wait_ready("web")
    pods.wait_ready("client")
    address = pods.status("web")["podIP"]
    assert pods.run("client", "wget", "-qO-", f"http://{address}:8080/").stdout == "hello\n"
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "web", "namespace": NAMESPACE},
        "spec": {"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": 8080}]},
    }
    cluster.api.create(service)
    made = cluster.api.get("v1", "Service", "web", NAMESPACE)
    assert made is not None
    url = f"http://{made['spec']['clusterIP']}/"
    until(lambda: pods.run("client", "wget", "-qO-", url, check=False).stdout == "hello\n", "the Service")
    cluster.api.delete("v1", "Service", "web", NAMESPACE)


def test_a_container_that_fails_its_probe_is_restarted(pods: Pods) -> None:
    command = ["sh", "-c", "touch /tmp/alive; sleep 1000"]
    probe = {"exec": {"command": ["cat", "/tmp/alive"]}, "periodSeconds": 1, "failureThreshold": 2}
    pods.create("fragile", command, livenessProbe=probe)
    pods.wait_ready("fragile")
    pods.run("fragile", "rm", "/tmp/alive")
    until(lambda: pods.restarts("fragile") == 1, "a restart")
    pods.wait_ready("fragile")


@pytest.mark.parametrize("component", COMPONENTS)
def test_pods_outlive_a_killed_component(cluster: Cluster, pods: Pods, component: str) -> None:
    pods.create("steady", ["sleep", "1000"])
    pods.wait_ready("steady")
    cluster.kill(component)
    assert status(cluster.name, cluster.folder.parent).pids[component] is None
    cluster.restart(component)
    until(lambda: cluster.node_ready(), "the node")
    pods.create("next", ["sleep", "1000"])
    pods.wait_ready("next")
    assert pods.run("steady", "echo", "here").stdout == "here\n"
    assert pods.restarts("steady") == 0


def test_two_clusters_run_side_by_side_and_nothing_is_left(cluster: Cluster, tmp_path: Path) -> None:
    before = machine()
    other = Cluster.up("other", root=tmp_path, real_node=True)
    pods = Pods(other)
    pods.create("web", WEB)
    pods.wait_ready("web")
    assert machine()["interfaces"] > before["interfaces"]
    other.down()
    assert machine() == before
    assert list(tmp_path.iterdir()) == []
    assert cluster.status().ready


def test_a_crash_leaves_nothing_after_down(real_node_root: Path, tmp_path: Path) -> None:
    before = machine()
    cluster = Cluster.up("crash", root=tmp_path, real_node=True)
    Pods(cluster).create("web", WEB)
    Pods(cluster).wait_ready("web")
    for process in processes.recorded(cluster.folder).values():
        os.kill(process.pid, signal.SIGKILL)
    assert down("crash", tmp_path)
    assert machine() == before


def test_a_simulated_cluster_of_the_same_name_is_not_taken_for_a_real_one(cluster: Cluster) -> None:
    with pytest.raises(LocalClusterError, match="runs with a real node"):
        Cluster.up(cluster.name, root=cluster.folder.parent)
    assert Node.load(cluster.folder) is not None
