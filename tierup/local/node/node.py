"""Start and remove the real node of a local cluster, and everything that it makes on this machine."""

import json
import os
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

from tierup.local.images import LocalImage, busybox, coredns
from tierup.local.machine import processes
from tierup.local.machine.logs import root_cause
from tierup.local.node import cgroups, claims, image_store, namespaces
from tierup.local.node.claims import Claims
from tierup.local.node.config import (
    DNS_IMAGE,
    POD_NETWORK,
    SANDBOX_IMAGE,
    NodePlaces,
    commands,
    search_path,
    write_files,
)
from tierup.local.node.images import import_into, wait_for_containerd
from tierup.local.toolchain import toolchain_dir

# In starting order: no pod runs before the enforcer has its rule.
COMPONENTS = ("network-policy-enforcer", "volume-provisioner", "containerd", "kubelet", "kube-proxy")
_ON_THE_FIRST = ("volume-provisioner",)  # it serves all nodes of a cluster
FOOTPRINT = (
    "processes, control groups and an interface named tierup…, and its own namespaces, which hold all mounts, "
    "rules and other interfaces"
)
_RECORDS = "node*.json"
_KUBELET_TIMEOUT_S = 120.0
_RUNTIME_FOUND, _RUNTIME_NOT_YET = (
    "Container runtime initialized",
    "server is not initialized yet",
)  # kubelet's log
# Unlike the cluster's own files, those of containers must be readable by the users in them.
_IN_GROUP = 'umask 022 && echo $$ >"$0" && exec "$@"'


@dataclass(frozen=True)
class NodeSpec:
    """A node to make: its name, the server that it claims to be, and folders below /var/lib that only it has.

    Without claims, it has the processors and memory of this machine. `images` are in its containerd from the start.
    """

    name: str
    claims: Claims | None = None
    folders: tuple[str, ...] = ()
    images: tuple[LocalImage, ...] = ()


@dataclass(frozen=True)
class Record:
    """What a node makes outside of its cluster's folder; it is written before anything is made."""

    name: str
    network: str  # of the node's link, in CIDR notation
    link: str  # the other end's name: on this machine, or in the first node's network
    cgroup: str
    number: int = 1  # of the cluster's real nodes


class Node:
    """A real node of a cluster in `folder`.

    The first node's network also holds the control plane, and is linked to this machine. Each other node is linked to
    the first one, so nothing between nodes crosses this machine's own network.
    """

    def __init__(self, folder: Path, record: Record) -> None:
        """Use `Node.create` or `Node.load_all`."""
        self.folder, self.record = folder, record
        _, self.address = namespaces.hosts(record.network)
        pods = f"10.244.{record.number}.0/24"
        self.places = NodePlaces(folder, record.name, self.address, pods, record.cgroup, record.number)
        own = COMPONENTS if record.number == 1 else [name for name in COMPONENTS if name not in _ON_THE_FIRST]
        self.components = {self.places.own(name): name for name in own}
        self._holder = self.places.own(namespaces.HOLDER)

    @classmethod
    def create(cls, folder: Path, spec: NodeSpec) -> Self:
        """Make the namespaces, mounts and control groups of the cluster's next node; no component runs yet.

        Raises OSError with what cannot be made.
        """
        tag, others = os.urandom(4).hex(), cls.load_all(folder)
        network = namespaces.free_network(other.record.network for other in others)
        record = Record(spec.name, network, f"tierup{tag}", f"tierup-{tag}", len(others) + 1)
        node = cls(folder, record)
        node.places.data.mkdir(mode=0o700)
        (folder / f"{node.places.own('node')}.json").write_text(json.dumps(asdict(record)))
        cgroups.create(record.cgroup)
        mounts = claims.write(spec.claims, node.places.data / "claims") if spec.claims is not None else {}
        for path in spec.folders:
            node.folder_of(path).mkdir(parents=True)
            mounts[path] = node.folder_of(path)
        namespaces.describe(folder, node.places.data, mounts)
        node._make_namespaces()
        return node

    def _make_namespaces(self) -> None:
        namespaces.create(self.folder, self.places.data, self._holder)
        if self.record.number == 1:
            namespaces.connect(self.folder, self._holder, self.record.link, self.record.network)
            # Pods of a node that is away: callers learn it at once, as from the last router of any network.
            namespaces.refuse(POD_NETWORK, self.network())
            return
        first = self._first()
        namespaces.connect(self.folder, self._holder, self.record.link, self.record.network, first)
        namespaces.route(self.places.pods, self.address, first)

    def _first(self) -> list[str]:
        """The command that starts another one in the first node's network."""
        return namespaces.enter(self.folder, namespaces.HOLDER, "net")

    def folder_of(self, path: str) -> Path:
        """Where the content of a folder of the node, such as /var/lib/models, is on this machine."""
        return self.places.data / "folders" / path.lstrip("/")

    @classmethod
    def load_all(cls, folder: Path) -> list[Self]:
        """The real nodes of the cluster in `folder`, running or not, in their order."""
        return [cls(folder, record) for record in _read(folder)]

    def network(self) -> list[str]:
        """The command that starts another one in the node's network."""
        return namespaces.enter(self.folder, self._holder, "net")

    def start(self, images: Sequence[LocalImage], echo: Callable[[str], None]) -> None:
        """Start every component; the API server runs and the kubeconfigs are written."""
        write_files(self.places)
        own = (busybox(SANDBOX_IMAGE), coredns(DNS_IMAGE))
        if images:
            image_store.fill(self.places.data / "containerd", [*own, *images], echo)
        self._start_components()
        self.import_images(own, lambda _: None)

    def power_off(self) -> None:
        """End every process of the node at once and with them its namespaces, as a power cut does; its disk stays."""
        if self.record.number == 1:
            raise ValueError("the first node's network holds the control plane")
        # First the link: the kernel closes the connections of a killed process, and a power cut closes none.
        namespaces.remove_link(self.record.link, self._first())
        cgroups.kill_all(self.record.cgroup)
        processes.kill(processes.recorded(self.folder)[self._holder])

    def power_on(self) -> None:
        """Start the node again with the disk that it had. Raises OSError with what cannot be made."""
        self._make_namespaces()
        self._start_components()

    def _start_components(self) -> None:
        for component in self.components:
            self.start_component(component)

    def import_images(self, images: Iterable[LocalImage], echo: Callable[[str], None]) -> None:
        """Import images into the node's containerd, so that its pods need no registry; raises OSError."""
        import_into(self.folder, self.places, images, echo)

    def start_component(self, component: str) -> None:
        """Start one component in the node's namespaces and control groups; raises OSError.

        Waits until containerd responds, and until kubelet has found it.
        """
        program = self.components[component]
        if program == "kubelet":
            self._start_kubelet(component)
            return
        self._start(component)
        if program == "containerd":
            wait_for_containerd(self.folder, self.places)

    def _start_kubelet(self, component: str) -> None:
        deadline = time.monotonic() + _KUBELET_TIMEOUT_S
        while time.monotonic() < deadline:
            before = len(processes.log_text(self.folder, component))
            kubelet = self._start(component)
            while processes.alive(kubelet) and time.monotonic() < deadline:
                if _RUNTIME_FOUND in processes.log_text(self.folder, component)[before:]:
                    return
                time.sleep(0.05)
            # It ends at once if containerd has not finished its start; elsewhere systemd would start it again.
            log = processes.log_text(self.folder, component)[before:]
            if _RUNTIME_NOT_YET not in log:
                break
        raise OSError(f"{component} does not start: {root_cause(log)}")

    def _start(self, component: str) -> processes.Process:
        group = str(cgroups.members_file(self.record.cgroup))
        inside = namespaces.enter(self.folder, self._holder, "net", "mnt", "ipc", "uts")
        environment = ["env", f"PATH={search_path()}", f"LD_LIBRARY_PATH={toolchain_dir()}"]
        program = commands(self.places)[self.components[component]]
        command = ["sh", "-c", _IN_GROUP, group, *inside, f"--wd={self.folder}", *environment, *program]
        return processes.start(component, command, self.folder)

    def ended(self) -> str | None:
        """A component that does not run, with the root cause from its log; None if all run."""
        recorded = processes.recorded(self.folder)
        for component in (self._holder, *self.components):
            process = recorded.get(component)
            if process is None or not processes.alive(process):
                log = processes.log_text(self.folder, component)
                return f"{component} ended; from {processes.log_file(self.folder, component)}:\n{root_cause(log)}"
        return None


def remove(folder: Path) -> None:
    """End what runs in the nodes' control groups and remove what the nodes made; does nothing without a node."""
    records = _read(folder)
    for record in records:
        cgroups.kill_all(record.cgroup)
    for record in records:
        namespaces.remove_link(record.link)
        cgroups.remove(record.cgroup)


def _read(folder: Path) -> list[Record]:
    records = [Record(**json.loads(path.read_text())) for path in folder.glob(_RECORDS)]
    return sorted(records, key=lambda record: record.number)
