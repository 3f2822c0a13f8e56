"""Start, stop and inspect a local cluster.

The caller's KUBECONFIG and ~/.kube/config are neither read nor written.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tierup.local.cluster.api import WAIT_TIMEOUT_S, Api
from tierup.local.cluster.certs import write_private
from tierup.local.cluster.commands import (
    COMPONENTS,
    KWOK_ROLE,
    command,
    node_roles,
    write_identities,
)
from tierup.local.cluster.dns import dns_objects, dns_ready
from tierup.local.cluster.folders import (
    Echo,
    LocalClusterError,
    Status,
    cluster_folder,
    existing_record,
    list_clusters,
    lock,
    remove_cluster,
    state_root,
)
from tierup.local.cluster.hub import HUB, hub_command, hub_network
from tierup.local.cluster.metrics import METRICS, metrics_command, metrics_objects, metrics_ready
from tierup.local.cluster.storage_classes import made_on_demand
from tierup.local.machine import processes
from tierup.local.machine.logs import root_cause
from tierup.local.machine.ports import free_port
from tierup.local.node import Node, NodeSpec, problems, too_long
from tierup.local.toolchain import tool
from tierup.resources.identity import STACK_LABEL

__all__ = ["Cluster", "LocalClusterError", "Status", "down", "list_clusters", "state_root", "status"]

_PORT_NAMES = ("etcd", "etcd-peer", "kube-apiserver")
_BESIDE_NODES = {HUB: hub_command, METRICS: metrics_command}  # run where there is a real node
_PORT_ATTEMPTS = 3


class _PortTaken(LocalClusterError):
    """Another process took a port between our check and the component's start."""


def status(name: str, root: Path | None = None) -> Status:
    """The state of the cluster `name`; one that does not exist has no server and no pids."""
    folder = cluster_folder(name, root)
    running = {c: p.pid for c, p in processes.recorded(folder).items() if processes.alive(p)}
    expected = _components(Node.load_all(folder))
    pids = {component: running.get(component) for component in expected}
    try:
        cluster = Cluster.load(name, root=root)
    except LocalClusterError:
        return Status(name, False, None, None, pids)
    ready = None not in pids.values() and cluster.api.ready()
    return Status(name, ready, cluster.server, cluster.kubeconfig, pids)


def _require_control_plane() -> None:
    """Raises an error if this machine lacks a tool, or is not one that can run them."""
    for component in COMPONENTS:
        tool(component)
    if not Path("/proc/self/stat").exists():
        raise LocalClusterError("the local cluster needs Linux, because it identifies its processes by /proc")


def require_real_node(folder: Path | None = None) -> None:
    """Raises LocalClusterError with the reasons if this machine cannot run a real node, in `folder` if it is given."""
    reasons = problems()
    if folder is not None and (reason := too_long(folder)) is not None:
        reasons.append(reason)
    if reasons:
        raise LocalClusterError("a real node cannot run here:\n" + "\n".join(reasons))


def down(name: str, root: Path | None = None, echo: Echo = print) -> bool:
    """Kill this cluster's processes, whatever its state, and remove its data; False if there was no cluster."""
    folder = cluster_folder(name, root)
    with lock(folder, echo):
        return remove_cluster(folder)


class Cluster:
    """One running local cluster."""

    def __init__(
        self, name: str, folder: Path, ports: dict[str, int], token: str, nodes: Sequence[Node]
    ) -> None:
        """Use `Cluster.up` or `Cluster.load`: the cluster's folder must be complete."""
        self.name = name
        self.folder = folder
        self.kubeconfig = folder / "kubeconfig"
        self.context = f"tierup-{name}"
        self.nodes = tuple(nodes)
        self.node = self.nodes[0] if nodes else None  # whose network also holds the control plane
        self.components = _components(nodes)
        address = "127.0.0.1" if self.node is None else self.node.address
        self.server = f"https://{address}:{ports['kube-apiserver']}"
        self.api = Api(self.server, folder / "pki" / "ca.crt", token)
        self._ports = ports
        self._token = token

    def network(self) -> dict[str, str] | None:
        """The `network` section of stacks that fetch from this cluster's hub, which only one with a real node has."""
        return None if self.node is None else hub_network(self.folder, self._ports[HUB], self.node)

    @property
    def how(self) -> str:
        """Where its pods are, after the stack's name."""
        real = [node.record.name for node in self.nodes]
        return f"running on {' and '.join(real)}" if real else "scheduled on simulated nodes"

    def servers(self, stack: str) -> list[dict[str, Any]]:
        """The servers of a stack."""
        return self.api.list_all("v1", "Node", selector={STACK_LABEL: stack})

    def pods(self, namespace: str) -> list[dict[str, Any]]:
        """The pods of a namespace."""
        return self.api.list_all("v1", "Pod", namespace=namespace)

    @classmethod
    def up(
        cls, name: str, *, root: Path | None = None, echo: Echo = print, real_nodes: Sequence[NodeSpec] = ()
    ) -> Cluster:
        """The cluster `name`, started if it does not run; a broken one is removed and created again.

        With `real_nodes`, it has these, which run pods and need root; its other nodes are simulated.
        Raises LocalClusterError with the log of the component that did not start; nothing is left behind.
        """
        folder = cluster_folder(name, root)
        _require_control_plane()
        if real_nodes:
            require_real_node(folder)
        with lock(folder, echo):
            if existing_record(folder).exists():
                raise LocalClusterError(
                    f"local cluster {name}: the stack is on a cluster of yours - add its `--kubeconfig`, or "
                    f"`tierup local down --stack {name}` first"
                )
            running = cls._running(name, root)
            if running is not None:
                if len(running.nodes) != len(real_nodes):
                    raise LocalClusterError(
                        f"local cluster {name}: it runs with {_kind(len(running.nodes))} - "
                        f"`tierup local down --stack {name}` first"
                    )
                return running
            if remove_cluster(folder):
                echo(f"local cluster {name}: removed a broken cluster of an earlier run")
            for _ in range(_PORT_ATTEMPTS):
                try:
                    return cls._make(name, folder, echo, real_nodes)
                except _PortTaken:
                    remove_cluster(folder)
                except BaseException:
                    remove_cluster(folder)
                    raise
            raise LocalClusterError(
                f"local cluster {name}: found no free ports in {_PORT_ATTEMPTS} attempts - try again"
            )

    @classmethod
    def load(cls, name: str, *, root: Path | None = None) -> Cluster:
        """The cluster `name` from its folder, running or not; raises LocalClusterError if there is none."""
        folder = cluster_folder(name, root)
        try:
            state = json.loads((folder / "cluster.json").read_text())
        except FileNotFoundError:
            raise LocalClusterError(f"no local cluster {name} - start it with `tierup local up`") from None
        return cls(name, folder, state["ports"], state["token"], Node.load_all(folder))

    def down(self, echo: Echo = print) -> bool:
        """Kill this cluster's processes and remove its data."""
        return down(self.name, self.folder.parent, echo)

    def status(self) -> Status:
        """The current state of this cluster."""
        return status(self.name, self.folder.parent)

    def kill(self, component: str) -> None:
        """Kill one component with SIGKILL, as a crash would; the others keep running."""
        process = processes.recorded(self.folder).get(component)
        if process is not None:
            processes.kill(process)

    def restart(self, component: str, *, timeout: float = WAIT_TIMEOUT_S) -> None:
        """Kill one component if it runs, start it with the same data and ports, and wait for the API server."""
        self.kill(component)
        if component == "kwok":
            # A node's lease is valid for 40 s after its holder ends, and a new KWOK would wait until then.
            for lease in self.api.list_all("coordination.k8s.io/v1", "Lease", "kube-node-lease"):
                self.api.delete(
                    "coordination.k8s.io/v1", "Lease", lease["metadata"]["name"], "kube-node-lease"
                )
        self._start(component)
        self._wait([component], timeout)

    @classmethod
    def _running(cls, name: str, root: Path | None) -> Cluster | None:
        """The cluster if all its components run; waits for an API server that restarts."""
        try:
            cluster = cls.load(name, root=root)
            cluster._wait(cluster.components)  # noqa: SLF001 - of the same class
        except LocalClusterError:
            return None
        return cluster

    @classmethod
    def _make(cls, name: str, folder: Path, echo: Echo, real_nodes: Sequence[NodeSpec]) -> Cluster:
        started = time.monotonic()
        folder.mkdir(mode=0o700)
        processes.make_folders(folder)
        try:
            nodes = [Node.create(folder, spec) for spec in real_nodes]
        except OSError as error:
            raise LocalClusterError(f"local cluster {name}: no node can be made: {error}") from error
        cluster = cls(name, folder, _free_ports(nodes), secrets.token_urlsafe(32), nodes)
        echo(f"local cluster {name}: starting {', '.join(cluster.components)}")
        write_identities(folder, cluster.server, cluster._token, cluster.context, nodes)
        for component in COMPONENTS[:2]:
            cluster._start(component)
        cluster._wait(COMPONENTS[:2])
        cluster.api.apply(*KWOK_ROLE)
        for component in COMPONENTS[2:]:
            cluster._start(component)
        if nodes:
            cluster._start_nodes(real_nodes, echo)
        # The controllers work once the default namespace has its service account, which pods need.
        cluster._wait(
            cluster.components,
            until=lambda: cluster.api.get("v1", "ServiceAccount", "default", "default") is not None,
        )
        if nodes:
            cluster._wait(
                cluster.components, until=lambda: dns_ready(cluster.api) and metrics_ready(cluster.api)
            )
        # Written last: a folder without it is an unfinished cluster.
        state = {"ports": cluster._ports, "token": cluster._token}
        write_private(folder / "cluster.json", json.dumps(state).encode())
        echo(f"local cluster {name}: ready in {time.monotonic() - started:.1f} s at {cluster.server}")
        return cluster

    def _start(self, component: str) -> None:
        of_node = next((node for node in self.nodes if component in node.components), None)
        if of_node is not None:
            of_node.start_component(component)
        elif self.node is not None and component in _BESIDE_NODES:
            line = _BESIDE_NODES[component](self.folder, self._ports[component], self.node)
            processes.start(component, line, self.folder)
        else:
            processes.start(component, command(component, self.folder, self._ports, self.node), self.folder)

    def _start_nodes(self, specs: Sequence[NodeSpec], echo: Echo) -> None:
        """Start what runs where there are real nodes, and wait until they are ready for pods."""
        assert self.node is not None
        self.api.apply(*node_roles(), *made_on_demand())
        for component in _BESIDE_NODES:
            self._start(component)
        self.api.apply(*metrics_objects(self.folder, self._ports[METRICS], self.node))
        try:
            for node, spec in zip(self.nodes, specs, strict=True):
                node.start(spec.images, echo)
        except OSError as error:
            raise LocalClusterError(f"local cluster {self.name}: {error}") from error
        self._wait(self.components, until=self.node_ready)
        self.api.apply(*dns_objects(self.node.record.name))  # a pod that waits for a node is late

    def node_ready(self) -> bool:
        """Whether every real node takes pods."""
        return all(self._takes_pods(node) for node in self.nodes)

    def _takes_pods(self, node: Node) -> bool:
        registered = self.api.get("v1", "Node", node.record.name)
        conditions = registered["status"].get("conditions", ()) if registered is not None else ()
        return any(item["type"] == "Ready" and item["status"] == "True" for item in conditions)

    def _wait(
        self,
        components: Sequence[str],
        timeout: float = WAIT_TIMEOUT_S,
        until: Callable[[], bool] = lambda: True,
    ) -> None:
        """Wait until the API server is ready and `until()` is true; raises as soon as a component has ended."""
        deadline = time.monotonic() + timeout
        while True:
            recorded = processes.recorded(self.folder)
            for component in components:
                process = recorded.get(component)
                if process is None or not processes.alive(process):
                    self._raise_ended(component)
            if self.api.ready() and until():
                return
            if time.monotonic() > deadline:
                cause = root_cause(processes.log_text(self.folder, "kube-apiserver"))
                raise LocalClusterError(
                    f"local cluster {self.name}: not ready after {timeout:.0f} s; API server:\n{cause}"
                )
            time.sleep(0.05)

    def _raise_ended(self, component: str) -> None:
        log = processes.log_text(self.folder, component)
        if "address already in use" in log:
            raise _PortTaken(f"local cluster {self.name}: the port of {component} is in use")
        file = processes.log_file(self.folder, component)
        raise LocalClusterError(
            f"local cluster {self.name}: {component} ended; from {file}:\n{root_cause(log)}"
        )


def _kind(nodes: int) -> str:
    return f"{nodes} real nodes" if nodes > 1 else "a real node" if nodes else "simulated nodes"


def _components(nodes: Sequence[Node]) -> tuple[str, ...]:
    """The components of a cluster, in starting order."""
    if not nodes:
        return COMPONENTS
    return (*COMPONENTS, *_BESIDE_NODES, *(component for node in nodes for component in node.components))


def _free_ports(nodes: Sequence[Node]) -> dict[str, int]:
    return {name: free_port() for name in (*_PORT_NAMES, *(_BESIDE_NODES if nodes else ()))}
