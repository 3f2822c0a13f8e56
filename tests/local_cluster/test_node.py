"""A local cluster's real node runs pods as any Kubernetes node does, and leaves nothing on the machine."""

import os
import signal

import psutil
import pytest
from pods import NAMESPACE, WEB, Pods, claim
from polling import until
from traces import Traces, machine_state

from tierup.local.cluster.cluster import Cluster, LocalClusterError, down, status
from tierup.local.machine import processes
from tierup.local.node import COMPONENTS, Node, NodeSpec


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
    assert "65534" in pods.kubectl("logs", "plain").stdout.splitlines()
    capabilities = pods.run("plain", "grep", "CapEff", "/proc/self/status").stdout
    assert int(capabilities.split()[1], 16) == 0
    assert "Seccomp:\t2" in pods.run("plain", "grep", "Seccomp:", "/proc/self/status").stdout


def test_the_node_has_the_size_of_a_server_and_its_pods_see_the_machine(cluster: Cluster, pods: Pods) -> None:
    assert cluster.node is not None
    node = cluster.api.get("v1", "Node", cluster.node.record.name)
    assert node is not None
    assert node["status"]["capacity"]["cpu"] == "64"
    assert node["status"]["capacity"]["memory"] == "512Gi"
    pods.create("large", ["sleep", "1000"], resources={"requests": {"cpu": "60", "memory": "400Gi"}})
    pods.wait_ready("large")
    processors = pods.run("large", "grep", "-c", "^processor", "/proc/cpuinfo").stdout
    assert int(processors) == os.cpu_count()
    assert pods.run("large", "cat", "/proc/meminfo").stdout.split()[1] == str(
        psutil.virtual_memory().total // 1024
    )


def test_the_node_keeps_its_images_however_full_this_machine_s_disk_is(cluster: Cluster) -> None:
    assert cluster.node is not None
    node = cluster.api.path("v1", "Node", name=cluster.node.record.name)
    configuration = cluster.api.request("GET", f"{node}/proxy/configz")["kubeletconfig"]
    assert configuration["imageGCHighThresholdPercent"] == 100, "kubelet never removes one"
    assert configuration["evictionHard"]["nodefs.available"] == "1Gi"


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
    until(cluster.node_ready, "the node")
    pods.create("next", ["sleep", "1000"])
    pods.wait_ready("next")
    assert pods.run("steady", "echo", "here").stdout == "here\n"
    assert pods.restarts("steady") == 0


def test_two_clusters_run_side_by_side_and_nothing_is_left(
    cluster: Cluster, tmp_path_factory: pytest.TempPathFactory
) -> None:
    before, folder = machine_state(), tmp_path_factory.mktemp("other")  # a short path, for kubelet's sockets
    other = Cluster.up("other", root=folder, real_nodes=[NodeSpec("other-node")])
    pods = Pods(other)
    other.api.create(claim("data", "ReadWriteOnce"))
    pods.create("web", WEB, claim="data")
    pods.wait_ready("web")
    traces = Traces.of(other)
    assert len(traces.networks()) == 3, "of the node, its DNS and the pod"
    assert other.down()
    assert traces.left() == []
    assert list(folder.iterdir()) == []
    assert machine_state() == before
    assert cluster.status().ready


@pytest.mark.usefixtures("real_node_root")
def test_nothing_is_left_after_a_crash(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("crash")
    cluster = Cluster.up("crash", root=folder, real_nodes=[NodeSpec("crash-node")])
    Pods(cluster).create("web", WEB)
    Pods(cluster).wait_ready("web")
    traces = Traces.of(cluster)
    for process in processes.recorded(cluster.folder).values():
        os.kill(process.pid, signal.SIGKILL)
    assert traces.left(), "the pod outlives its node's processes"
    assert down("crash", folder)
    assert traces.left() == []


def test_a_simulated_cluster_of_the_same_name_is_not_taken_for_a_real_one(cluster: Cluster) -> None:
    with pytest.raises(LocalClusterError, match="runs with a real node"):
        Cluster.up(cluster.name, root=cluster.folder.parent)
    assert len(Node.load_all(cluster.folder)) == 1
