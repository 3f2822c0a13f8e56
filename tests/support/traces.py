"""What a cluster with real nodes makes on this machine, and what of it is still there after it has gone."""

import contextlib
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

import psutil

from tierup.local.cluster.cluster import Cluster
from tierup.local.machine import processes
from tierup.local.node import cgroups
from tierup.local.node.namespaces import SYSCTLS
from tierup.local.node.node import Record
from tierup.local.toolchain import tool, toolchain_dir

_KINDS = ("net", "mnt", "ipc", "uts")  # of a node's namespaces


@dataclass(frozen=True)
class Traces:
    """What one cluster makes on this machine; other clusters may come and go meanwhile."""

    folder: Path
    records: list[Record]
    namespaces: set[str]  # of the nodes and of all containers in them

    @classmethod
    def of(cls, cluster: Cluster) -> "Traces":
        pids = {process.pid for process in processes.recorded(cluster.folder).values()}
        pids |= {pid for node in cluster.nodes for pid in cgroups.processes_of(node.record.cgroup)}
        own = set().union(*map(_namespaces, pids)) - _namespaces(os.getpid())
        return cls(cluster.folder, [node.record for node in cluster.nodes], own)

    def networks(self) -> set[str]:
        """Its network namespaces."""
        return {name for name in self.namespaces if name.startswith("net:")}

    def left(self) -> list[str]:
        """What of it is still there: mounts, control groups, links, files, processes and their namespaces."""
        mounts = Path("/proc/self/mountinfo").read_text().splitlines()
        found = [
            line for line in mounts if str(self.folder) in line or any(n in line for n in self.namespaces)
        ]
        for record in self.records:
            paths = [*(root / record.cgroup for root in cgroups.hierarchies())]
            paths.append(Path("/sys/class/net", record.link))
            found += [str(path) for path in paths if path.exists()]
        found += [str(self.folder)] * self.folder.exists()
        found += [str(process) for process in psutil.process_iter() if self._has(process.pid)]
        return found

    def _has(self, pid: int) -> bool:
        """Whether a process is in a namespace of the cluster, or runs a program in its folder."""
        command = ""
        with contextlib.suppress(OSError):  # it has ended
            command = Path(f"/proc/{pid}/cmdline").read_text()
        return bool(_namespaces(pid) & self.namespaces) or f"{self.folder}/" in command


def _namespaces(pid: int) -> set[str]:
    found = set()
    for kind in _KINDS:
        with contextlib.suppress(OSError):  # it has ended, or is not for us to see
            found.add(str(Path(f"/proc/{pid}/ns/{kind}").readlink()))
    return found


def machine_state() -> dict[str, str]:
    """What a node must not change for all of this machine: settings, rules of the firewall and of routes, queues."""
    return {
        **{name: Path("/proc/sys", name).read_text() for name in SYSCTLS},
        "rules": _output(str(tool("nft")), "list", "ruleset"),
        "rules of iptables": "".join(map(_text, Path("/proc/net").glob("ip*_tables_names"))),
        "rules of routes": _output("ip", "rule"),
        "forwarding": _text(Path("/proc/sys/net/ipv4/ip_forward")),
        "names of namespaces": _output("ip", "netns", "list"),
        "queues": _text(Path("/proc/net/netfilter/nfnetlink_queue")),
    }


def _text(path: Path) -> str:
    return path.read_text()


def _output(*command: str) -> str:
    libraries = {**os.environ, "LD_LIBRARY_PATH": str(toolchain_dir())}
    return subprocess.run(command, env=libraries, capture_output=True, text=True, check=True).stdout
