"""The local cluster is a real, isolated control plane and leaves nothing behind, even after a crash."""

import contextlib
import os
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import kubernetes
import pytest

import tierup.local.cluster.cluster as cluster_module
from tierup.local.cluster.api import WAIT_TIMEOUT_S, Api, ApiError
from tierup.local.cluster.cluster import Cluster, LocalClusterError, down, list_clusters, status
from tierup.local.cluster.commands import COMPONENTS, command
from tierup.local.cluster.fake_nodes import VOLUME_LABEL, FakeNode, apply_nodes, delete_node, ensure_volumes
from tierup.local.machine import processes
from tierup.local.node import Node
from tierup.local.toolchain import toolchain_dir

NODE = FakeNode("gpu-0", 64, 512, gpus=4, gpu_product="NVIDIA-L40S", gpu_memory_mib=46068)
GPU_TOLERATION = {"key": "nvidia.com/gpu", "operator": "Exists"}
UP = "import sys; from pathlib import Path; from tierup.local.cluster.cluster import Cluster; "
UP += "print(Cluster.up(sys.argv[1], root=Path(sys.argv[2])).server)"


def until(check: Callable[[], bool], what: str, timeout: float = WAIT_TIMEOUT_S) -> None:
    deadline = time.monotonic() + timeout
    while not check():
        assert time.monotonic() < deadline, f"not within {timeout:.0f} s: {what}"
        time.sleep(0.02)


def living_processes_of(folder: Path) -> list[str]:
    """Command lines with `folder` in them, read from /proc and not from the library's records."""
    command_lines = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue
        if f"{folder}/" in line and int(entry.name) != os.getpid():
            command_lines.append(line[:120])
    return command_lines


def pod_spec(gpus: int = 0, **extra: Any) -> dict[str, Any]:
    resources = {"limits": {"nvidia.com/gpu": str(gpus)}} if gpus else {}
    container = {"name": "main", "image": "example.invalid/main:1", "resources": resources}
    return {"containers": [container], "tolerations": [GPU_TOLERATION], **extra}


def pod(namespace: str, name: str, **spec: Any) -> dict[str, Any]:
    metadata = {"name": name, "namespace": namespace}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": pod_spec(**spec)}


def deployment(namespace: str, name: str, **spec: Any) -> dict[str, Any]:
    labels = {"app": name}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": pod_spec(**spec)},
        },
    }


def claim(namespace: str, name: str, mode: str, storage_class: str | None) -> dict[str, Any]:
    chosen = {"storageClassName": storage_class} if storage_class is not None else {}
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"accessModes": [mode], "resources": {"requests": {"storage": "100Gi"}}, **chosen},
    }


def has_condition(name: str, value: str) -> Callable[[dict[str, Any] | None], bool]:
    def check(obj: dict[str, Any] | None) -> bool:
        conditions = obj["status"].get("conditions", []) if obj is not None else []
        return any(c["type"] == name and c["status"] == value for c in conditions)

    return check


def is_gone(obj: dict[str, Any] | None) -> bool:
    return obj is None


@pytest.fixture
def gpu_node(cluster: Cluster) -> Iterator[Cluster]:
    """The workers' cluster with one simulated GPU node."""
    apply_nodes(cluster.api, [NODE])
    yield cluster
    delete_node(cluster.api, NODE.name)
    cluster.api.wait("v1", "Node", NODE.name, until=is_gone)


@pytest.fixture
def name(cluster_root: Path, request: pytest.FixtureRequest) -> Iterator[str]:
    """A name for the test's own cluster, which is always removed afterwards."""
    own = f"own-{abs(hash(request.node.name)) % 10**8}"
    yield own
    down(own, cluster_root)


# --- it keeps to itself


def test_two_clusters_run_side_by_side_and_down_ends_exactly_one(
    cluster: Cluster, cluster_root: Path, name: str
) -> None:
    before, there = (
        cluster.status(),
        set(list_clusters(cluster_root)),
    )  # other tests may have a tier among them
    other = Cluster.up(name, root=cluster_root)
    assert other.server != cluster.server
    assert set(list_clusters(cluster_root)) == there | {name}
    other.api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "only-in-other"}})
    assert cluster.api.get("v1", "Namespace", "only-in-other") is None
    assert living_processes_of(other.folder)

    assert other.down()

    assert living_processes_of(other.folder) == []
    assert not [path for path in cluster_root.iterdir() if name in path.name]
    assert set(list_clusters(cluster_root)) == there
    assert before.ready
    # The processes are the same; a busy API server may report ready only at the second request.
    until(lambda: cluster.status() == before, "the other cluster is as it was")
    assert down(name, cluster_root) is False


def processor_seconds(own: Cluster) -> float:
    """Processor time that a cluster's processes have used since they started."""
    ticks = 0
    for pid in own.status().pids.values():
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def test_up_uses_less_than_ten_cpu_seconds_and_leaves_the_users_files_and_environment_alone(
    cluster_root: Path, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / ".kube" / "config"
    config.parent.mkdir()
    config.write_text("the user's own\n")
    monkeypatch.setenv("TIERUP_CACHE", str(toolchain_dir().parents[2]))  # by default below HOME
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("KUBECONFIG", str(config))
    before = (dict(os.environ), config.stat().st_mtime_ns)

    began = time.process_time()
    own = Cluster.up(name, root=cluster_root)
    # CPU time and not wall time, so that other load on the machine does not count.
    assert processor_seconds(own) + time.process_time() - began < 10.0
    apply_nodes(own.api, [NODE])

    assert (dict(os.environ), config.stat().st_mtime_ns) == before
    assert config.read_text() == "the user's own\n"
    assert sorted(tmp_path.rglob("*")) == [config.parent, config]
    secret_files = [own.kubeconfig, own.folder / "cluster.json", *(own.folder / "pki").iterdir()]
    assert {stat.S_IMODE(path.stat().st_mode) for path in secret_files} == {0o600}
    assert stat.S_IMODE(own.folder.stat().st_mode) == 0o700


def test_the_kubeconfig_works_for_the_official_client(cluster: Cluster) -> None:
    client = kubernetes.config.new_client_from_config(str(cluster.kubeconfig), context=cluster.context)
    namespaces = kubernetes.client.CoreV1Api(client).list_namespace().items
    assert {"default", "kube-system"} <= {
        item.metadata.name for item in namespaces if item.metadata is not None
    }


@pytest.mark.parametrize("token", [None, "not-the-token"])
def test_requests_without_the_token_are_refused(cluster: Cluster, token: str | None) -> None:
    stranger = Api(cluster.server, cluster.folder / "pki" / "ca.crt", token)
    with pytest.raises(ApiError) as refused:
        stranger.request("GET", "/api/v1/namespaces")
    assert refused.value.status == 401


def test_every_port_is_on_loopback(cluster: Cluster) -> None:
    inodes = set()
    for pid in cluster.status().pids.values():
        for link in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(FileNotFoundError):  # closed meanwhile; what listens stays open
                target = str(link.readlink())
                inodes.add(target.removeprefix("socket:[").removesuffix("]"))
    listening = []
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and fields[9] in inodes:
                listening.append(fields[1].split(":")[0])
    assert len(listening) == 3  # etcd for clients and peers, the API server
    assert set(listening) == {"0100007F"}


def test_a_bad_name_is_refused_before_anything_is_created(cluster_root: Path) -> None:
    with pytest.raises(LocalClusterError, match="not valid"):
        Cluster.up("../elsewhere", root=cluster_root)
    assert status("never-made", cluster_root).pids == dict.fromkeys(COMPONENTS)


# --- it starts once, and cleans up after crashes


def test_repeated_and_concurrent_up_return_the_one_running_cluster(cluster_root: Path, name: str) -> None:
    program = [sys.executable, "-c", UP, name, str(cluster_root)]
    both = [subprocess.Popen(program, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    servers = [child.communicate(timeout=300)[0].splitlines()[-1] for child in both]
    assert servers[0] == servers[1]
    own = Cluster.load(name, root=cluster_root)
    pids = own.status().pids
    assert None not in pids.values()
    assert Cluster.up(name, root=cluster_root).status().pids == pids
    assert len(living_processes_of(own.folder)) == len(COMPONENTS)


@pytest.mark.parametrize("last", ["etcd", "kube-apiserver", "kwok"])
def test_down_cleans_what_a_killed_up_left(cluster_root: Path, name: str, last: str) -> None:
    folder = cluster_root / name
    child = subprocess.Popen([sys.executable, "-c", UP, name, str(cluster_root)], stdout=subprocess.DEVNULL)
    until((folder / "processes" / last).exists, f"{last} is started")
    child.send_signal(signal.SIGKILL)
    child.wait()
    assert living_processes_of(folder)

    assert down(name, cluster_root)

    # One that was killed before its record stood finds the folder gone, and ends by itself.
    until(lambda: not living_processes_of(folder), "every process is gone")
    assert not folder.exists()


def test_down_finishes_an_interrupted_down(cluster_root: Path, name: str) -> None:
    own = Cluster.up(name, root=cluster_root)
    own.folder.rename(own.folder.with_name(f".{name}.removing"))
    assert down(name, cluster_root)
    assert living_processes_of(own.folder) == []
    assert not [path for path in cluster_root.iterdir() if name in path.name]


def test_up_replaces_a_broken_cluster(cluster_root: Path, name: str) -> None:
    first = Cluster.up(name, root=cluster_root)
    first.kill("kube-scheduler")
    assert not first.status().ready
    lines: list[str] = []
    second = Cluster.up(name, root=cluster_root, echo=lines.append)
    assert "removed a broken cluster" in lines[0]
    until(lambda: second.status().ready, "the new cluster is ready")
    assert len(living_processes_of(second.folder)) == len(COMPONENTS)


def test_another_process_with_a_recorded_pid_is_left_alone(cluster_root: Path, name: str) -> None:
    with subprocess.Popen(["sleep", "60"]) as bystander:
        folder = cluster_root / name
        folder.mkdir()
        processes.make_folders(folder)
        boot = Path("/proc/sys/kernel/random/boot_id").read_text()
        before, _, after = Path(f"/proc/{bystander.pid}/stat").read_text().rpartition(")")
        fields = after.split()
        fields[19] = str(int(fields[19]) - 1)  # as if the recorded process had started a tick earlier
        (folder / "processes" / "etcd").write_text(f"{boot}{before}) {' '.join(fields)}\n")

        assert down(name, cluster_root)

        assert bystander.poll() is None
        bystander.kill()


@pytest.mark.parametrize("taken", ["etcd", "kube-apiserver"])
def test_a_port_that_is_taken_meanwhile_is_replaced(
    cluster_root: Path, name: str, taken: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    free_ports = cluster_module._free_ports
    with socket.socket() as squatter:
        squatter.bind(("127.0.0.1", 0))
        squatter.listen()
        choices = [free_ports([]) | {taken: squatter.getsockname()[1]}, free_ports([])]
        monkeypatch.setattr(cluster_module, "_free_ports", lambda _: choices.pop(0))
        own = Cluster.up(name, root=cluster_root)
    assert choices == []
    until(lambda: own.status().ready, "the cluster is ready")


def test_a_component_that_does_not_start_is_reported_with_its_log_and_leaves_nothing_behind(
    cluster_root: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def with_bad_flag(component: str, folder: Path, ports: dict[str, int], node: Node | None) -> list[str]:
        extra = ["--no-such-flag"] if component == "kube-controller-manager" else []
        return [*command(component, folder, ports, node), *extra]

    monkeypatch.setattr(cluster_module, "command", with_bad_flag)
    with pytest.raises(LocalClusterError, match=r"kube-controller-manager ended(.|\n)*no-such-flag"):
        Cluster.up(name, root=cluster_root)
    assert living_processes_of(cluster_root / name) == []
    assert not (cluster_root / name).exists()


@pytest.mark.parametrize("component", COMPONENTS)
def test_a_restarted_component_uses_its_old_data_and_reconnects(
    gpu_node: Cluster, namespace: str, component: str
) -> None:
    api = gpu_node.api
    api.create(pod(namespace, "before"))
    api.wait("v1", "Pod", "before", namespace, until=has_condition("Ready", "True"))
    gpu_node.kill(component)
    assert not gpu_node.status().ready
    assert gpu_node.status().pids[component] is None

    gpu_node.restart(component)

    assert Cluster.load(gpu_node.name, root=gpu_node.folder.parent).server == gpu_node.server
    assert api.get("v1", "Pod", "before", namespace) is not None
    # Controllers make the pod, the scheduler places it, KWOK runs it.
    api.apply(deployment(namespace, "after"))
    api.wait("apps/v1", "Deployment", "after", namespace, until=has_condition("Available", "True"))


# --- it is a real control plane


def test_a_pod_is_scheduled_on_a_simulated_gpu_node_becomes_ready_and_is_deleted(
    gpu_node: Cluster, namespace: str
) -> None:
    init = [
        {"name": "fetch", "image": "example.invalid/fetch:1"},
        {"name": "sidecar", "image": "example.invalid/sidecar:1", "restartPolicy": "Always"},
    ]
    for pod_name in ("one", "two"):
        gpu_node.api.create(pod(namespace, pod_name, gpus=2, initContainers=init))
    pods = [
        gpu_node.api.wait("v1", "Pod", pod_name, namespace, until=has_condition("Ready", "True"))
        for pod_name in ("one", "two")
    ]
    assert all(p is not None and p["spec"]["nodeName"] == NODE.name for p in pods)
    states = [p["status"] for p in pods if p is not None]
    assert len({s["podIP"] for s in states}) == 2
    assert [s["phase"] for s in states] == ["Running", "Running"]
    fetch, sidecar = states[0]["initContainerStatuses"]
    assert fetch["state"]["terminated"]["exitCode"] == 0
    assert "running" in sidecar["state"]
    gpu_node.api.delete("v1", "Pod", "one", namespace)
    gpu_node.api.wait("v1", "Pod", "one", namespace, until=is_gone)


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        ({"gpus": NODE.gpus + 1}, "Insufficient nvidia.com/gpu"),
        ({"tolerations": []}, "untolerated taint"),
        ({"nodeSelector": {"nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3"}}, "didn't match Pod's node"),
    ],
    ids=["too many GPUs", "no toleration", "another GPU"],
)
def test_a_pod_that_does_not_fit_stays_pending_with_the_schedulers_reason(
    gpu_node: Cluster, namespace: str, spec: dict[str, Any], reason: str
) -> None:
    gpu_node.api.create(pod(namespace, "unfit", **spec))
    unscheduled = has_condition("PodScheduled", "False")
    pending = gpu_node.api.wait("v1", "Pod", "unfit", namespace, until=unscheduled)
    assert pending is not None
    assert pending["status"]["phase"] == "Pending"
    assert reason in pending["status"]["conditions"][0]["message"]


def test_pod_security_refuses_a_privileged_pod_where_restricted_is_enforced(
    cluster: Cluster, namespace: str
) -> None:
    privileged = pod(namespace, "privileged")
    privileged["spec"]["containers"][0]["securityContext"] = {"privileged": True}
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    cluster.api.merge(f"/api/v1/namespaces/{namespace}", {"metadata": {"labels": labels}})
    with pytest.raises(ApiError, match="violates PodSecurity") as refused:
        cluster.api.create(privileged)
    assert refused.value.status == 403


def test_deployment_job_and_claims_of_both_storage_classes_work_and_volumes_are_replenished(
    cluster_root: Path, name: str
) -> None:
    api, namespace = (
        Cluster.up(name, root=cluster_root).api,
        "default",
    )  # tiers leave volumes in the shared one
    apply_nodes(api, [NODE])
    ensure_volumes(api, shared=2, standard=2)
    api.apply(
        claim(namespace, "shared", "ReadWriteMany", "shared"),
        claim(namespace, "own", "ReadWriteOnce", None),  # the default class
    )
    volumes = [{"name": n, "persistentVolumeClaim": {"claimName": n}} for n in ("shared", "own")]
    job = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "fetch", "namespace": namespace},
        "spec": {"template": {"spec": pod_spec(volumes=volumes[:1], restartPolicy="Never")}},
    }
    api.apply(deployment(namespace, "server", gpus=1, volumes=volumes), job)
    api.wait("apps/v1", "Deployment", "server", namespace, until=has_condition("Available", "True"))
    api.wait("batch/v1", "Job", "fetch", namespace, until=has_condition("Complete", "True"))
    bound = [api.get("v1", "PersistentVolumeClaim", n, namespace) for n in ("shared", "own")]
    assert [(c or {})["status"]["phase"] for c in bound] == ["Bound", "Bound"]
    assert [(c or {})["spec"]["storageClassName"] for c in bound] == ["shared", "standard"]

    def free() -> dict[str, int]:
        pool = api.list_all("v1", "PersistentVolume", selector={VOLUME_LABEL: "true"})
        classes = [v["spec"]["storageClassName"] for v in pool if v["status"].get("phase") == "Available"]
        return {storage_class: classes.count(storage_class) for storage_class in ("shared", "standard")}

    assert free() == {"shared": 1, "standard": 1}
    api.delete("apps/v1", "Deployment", "server", namespace)
    api.delete("batch/v1", "Job", "fetch", namespace)
    for bound_claim in ("shared", "own"):
        api.delete("v1", "PersistentVolumeClaim", bound_claim, namespace)
        api.wait("v1", "PersistentVolumeClaim", bound_claim, namespace, until=is_gone)
    assert free() == {"shared": 1, "standard": 1}
    ensure_volumes(api, shared=2, standard=2)
    assert free() == {"shared": 2, "standard": 2}
    ensure_volumes(api, shared=2, standard=2)
    assert free() == {"shared": 2, "standard": 2}


def test_the_autoscaler_controller_raises_replicas_to_its_minimum_without_metrics(
    gpu_node: Cluster, namespace: str
) -> None:
    autoscaler = {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "server", "namespace": namespace},
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "server"},
            "minReplicas": 3,
            "maxReplicas": 4,
            "metrics": [
                {
                    "type": "Pods",
                    "pods": {
                        "metric": {"name": "in_flight"},
                        "target": {"type": "AverageValue", "averageValue": "8"},
                    },
                }
            ],
        },
    }
    gpu_node.api.apply(deployment(namespace, "server", gpus=1), autoscaler)
    gpu_node.api.wait(
        "apps/v1",
        "Deployment",
        "server",
        namespace,
        until=lambda obj: obj is not None and obj["status"].get("readyReplicas") == 3,
    )


def test_registering_a_node_again_changes_its_size_and_keeps_later_taints(
    cluster: Cluster,
) -> None:
    apply_nodes(cluster.api, [NODE])
    taints = [{"key": "tierup", "value": "mine", "effect": "NoSchedule"}]
    cluster.api.merge(f"/api/v1/nodes/{NODE.name}", {"spec": {"taints": taints}})
    apply_nodes(
        cluster.api, [FakeNode(NODE.name, cpu=128, memory_gib=1024, gpus=8, gpu_product="NVIDIA-L40S")]
    )
    node = cluster.api.get("v1", "Node", NODE.name)
    assert node is not None
    assert node["spec"]["taints"] == taints
    assert node["status"]["allocatable"]["nvidia.com/gpu"] == "8"
    assert node["metadata"]["labels"]["nvidia.com/gpu.count"] == "8"
    delete_node(cluster.api, NODE.name)
    cluster.api.wait("v1", "Node", NODE.name, until=is_gone)
