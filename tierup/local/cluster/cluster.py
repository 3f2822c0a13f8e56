"""Decides when a local cluster is there, ready, broken or gone: its life from up to down.

The caller's KUBECONFIG and ~/.kube/config are neither read nor written.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tierup.local.cluster.api import PATIENCE_S, Api
from tierup.local.cluster.certs import write_private
from tierup.local.cluster.commands import COMPONENTS, KWOK_ROLE, command, write_identities
from tierup.local.cluster.folders import (
    Echo,
    LocalClusterError,
    clean,
    cluster_folder,
    list_clusters,
    lock,
    state_root,
)
from tierup.local.machine import processes
from tierup.local.machine.logs import root_cause
from tierup.local.machine.ports import free_port
from tierup.local.toolchain import tool

__all__ = ["Cluster", "LocalClusterError", "Status", "down", "list_clusters", "state_root", "status"]

_PORT_NAMES = ("etcd", "etcd-peer", "kube-apiserver")
_PORT_ATTEMPTS = 3


class _PortTaken(LocalClusterError):
    """Another process took a port between our look and the start."""


@dataclass(frozen=True)
class Status:
    """What is there now; a component that does not run has no pid."""

    name: str
    ready: bool
    server: str | None
    kubeconfig: Path | None
    pids: dict[str, int | None]


def status(name: str, root: Path | None = None) -> Status:
    """What is there under `name`; a cluster that was never made, or is gone, has no server and no pids."""
    folder = cluster_folder(name, root)
    running = {c: p.pid for c, p in processes.recorded(folder).items() if processes.alive(p)}
    try:
        cluster = Cluster.load(name, root=root)
    except LocalClusterError:
        return Status(name, False, None, None, {c: running.get(c) for c in COMPONENTS})
    ready = len(running) == len(COMPONENTS) and cluster.api.ready()
    return Status(name, ready, cluster.server, cluster.kubeconfig, {c: running.get(c) for c in COMPONENTS})


def down(name: str, root: Path | None = None, echo: Echo = print) -> bool:
    """End exactly this cluster's processes, whatever its state, and remove its data; False: nothing there."""
    folder = cluster_folder(name, root)
    with lock(folder, echo):
        return clean(folder)


class Cluster:
    """One running local cluster."""

    def __init__(self, name: str, folder: Path, ports: dict[str, int], token: str) -> None:
        """Of a cluster whose folder is written; use `Cluster.up` or `Cluster.load`."""
        self.name = name
        self.folder = folder
        self.kubeconfig = folder / "kubeconfig"
        self.context = f"tierup-{name}"
        self.server = f"https://127.0.0.1:{ports['kube-apiserver']}"
        self.api = Api(self.server, folder / "pki" / "ca.crt", token)
        self._ports = ports
        self._token = token

    @classmethod
    def up(cls, name: str, *, root: Path | None = None, echo: Echo = print) -> Cluster:
        """The cluster `name`, started if it does not run; a half-dead one is thrown away and made afresh.

        Raises LocalClusterError with the log of what did not start; nothing is left behind then.
        """
        folder = cluster_folder(name, root)
        for component in COMPONENTS:
            tool(component)  # a missing one is reported before anything is made
        if not Path("/proc/self/stat").exists():
            raise LocalClusterError("the local cluster needs Linux (it knows its processes by /proc)")
        with lock(folder, echo):
            running = cls._running(name, root)
            if running is not None:
                return running
            if clean(folder):
                echo(f"local cluster {name}: removed what an earlier run left half alive")
            for _ in range(_PORT_ATTEMPTS):
                try:
                    return cls._make(name, folder, echo)
                except _PortTaken:
                    clean(folder)
                except BaseException:
                    clean(folder)
                    raise
            raise LocalClusterError(
                f"local cluster {name}: found no free ports in {_PORT_ATTEMPTS} attempts - try again"
            )

    @classmethod
    def load(cls, name: str, *, root: Path | None = None) -> Cluster:
        """The cluster `name` as its folder has it, running or not; LocalClusterError when there is none."""
        folder = cluster_folder(name, root)
        try:
            state = json.loads((folder / "cluster.json").read_text())
        except FileNotFoundError:
            raise LocalClusterError(f"no local cluster {name} - start it with `tierup local up`") from None
        return cls(name, folder, state["ports"], state["token"])

    def down(self, echo: Echo = print) -> bool:
        """End this cluster's processes and remove its data."""
        return down(self.name, self.folder.parent, echo)

    def status(self) -> Status:
        """What runs of this cluster now."""
        return status(self.name, self.folder.parent)

    def kill(self, component: str) -> None:
        """End one component with SIGKILL, as a crash would; the others stay."""
        process = processes.recorded(self.folder).get(component)
        if process is not None:
            processes.kill(process)

    def restart(self, component: str, *, timeout: float = PATIENCE_S) -> None:
        """Kill one component if it runs, start it on the same data and ports, and wait for the API server."""
        self.kill(component)
        if component == "kwok":
            # A node's lease outlives its holder by 40 s; a new KWOK would sit still until then.
            for lease in self.api.list_all("coordination.k8s.io/v1", "Lease", "kube-node-lease"):
                self.api.delete(
                    "coordination.k8s.io/v1", "Lease", lease["metadata"]["name"], "kube-node-lease"
                )
        self._start(component)
        self._wait([component], timeout)

    @classmethod
    def _running(cls, name: str, root: Path | None) -> Cluster | None:
        """The cluster if it is whole; a restarting API server is given its time."""
        try:
            cluster = cls.load(name, root=root)
            cluster._wait(COMPONENTS)
        except LocalClusterError:
            return None
        return cluster

    @classmethod
    def _make(cls, name: str, folder: Path, echo: Echo) -> Cluster:
        began = time.monotonic()
        echo(f"local cluster {name}: starting {', '.join(COMPONENTS)}")
        folder.mkdir(mode=0o700)
        processes.make_folders(folder)
        cluster = cls(name, folder, _free_ports(), secrets.token_urlsafe(32))
        write_identities(folder, cluster.server, cluster._token, cluster.context)
        for component in COMPONENTS[:2]:
            cluster._start(component)
        cluster._wait(COMPONENTS[:2])
        cluster.api.apply(*KWOK_ROLE)
        for component in COMPONENTS[2:]:
            cluster._start(component)
        # The controllers work when they have given the default namespace its service account: pods need it.
        cluster._wait(
            COMPONENTS,
            until=lambda: cluster.api.get("v1", "ServiceAccount", "default", "default") is not None,
        )
        # Written last: a folder without it is an unfinished cluster.
        state = {"ports": cluster._ports, "token": cluster._token}
        write_private(folder / "cluster.json", json.dumps(state).encode())
        echo(f"local cluster {name}: ready in {time.monotonic() - began:.1f} s at {cluster.server}")
        return cluster

    def _start(self, component: str) -> None:
        processes.start(component, command(component, self.folder, self._ports), self.folder)

    def _wait(
        self,
        components: Sequence[str],
        timeout: float = PATIENCE_S,
        until: Callable[[], bool] = lambda: True,
    ) -> None:
        """Wait until the API server is ready and `until()` holds; the death of a component ends the wait."""
        deadline = time.monotonic() + timeout
        while True:
            recorded = processes.recorded(self.folder)
            for component in components:
                process = recorded.get(component)
                if process is None or not processes.alive(process):
                    self._report_death(component)
            if self.api.ready() and until():
                return
            if time.monotonic() > deadline:
                cause = root_cause(processes.log_text(self.folder, "kube-apiserver"))
                raise LocalClusterError(
                    f"local cluster {self.name}: not ready after {timeout:.0f} s; API server:\n{cause}"
                )
            time.sleep(0.05)

    def _report_death(self, component: str) -> None:
        log = processes.log_text(self.folder, component)
        if "address already in use" in log:
            raise _PortTaken(f"local cluster {self.name}: {component} found its port taken")
        file = processes.log_file(self.folder, component)
        raise LocalClusterError(
            f"local cluster {self.name}: {component} ended; from {file}:\n{root_cause(log)}"
        )


def _free_ports() -> dict[str, int]:
    return {name: free_port() for name in _PORT_NAMES}
