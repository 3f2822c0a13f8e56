"""Start and remove the real node of a local cluster, and everything that it makes on this machine."""

import json
import os
import shutil
import subprocess
import tempfile
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
from tierup.local.node.config import DNS_IMAGE, SANDBOX_IMAGE, NodePlaces, commands, search_path, write_files
from tierup.local.node.images import import_into, wait_for_containerd
from tierup.local.toolchain import ToolMissing, tool, toolchain_dir

# In starting order: no pod runs before the enforcer has its rule.
COMPONENTS = ("network-policy-enforcer", "volume-provisioner", "containerd", "kubelet", "kube-proxy")
TOOLS = (*COMPONENTS, "runc", "ctr", "nft", "busybox", "coredns")
FOOTPRINT = (
    "processes, control groups and an interface named tierup…, and its own namespaces, which hold all mounts, "
    "rules and other interfaces"
)
_RECORD = "node.json"
_KUBELET_TIMEOUT_S = 60.0
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
    network: str  # of the link between this machine and the node, in CIDR notation
    link: str
    cgroup: str


class Node:
    """The one real node of a cluster in `folder`; its namespaces also hold the control plane's network."""

    def __init__(self, folder: Path, record: Record) -> None:
        """Use `Node.create` or `Node.load`."""
        self.folder, self.record = folder, record
        self.machine_address, self.address = namespaces.hosts(record.network)
        self.places = NodePlaces(folder, record.name, self.address, "10.244.1.0/24", record.cgroup)

    @classmethod
    def create(cls, folder: Path, spec: NodeSpec) -> Self:
        """Make the namespaces, mounts and control groups of the node; no component runs yet.

        Raises OSError with what cannot be made.
        """
        tag = os.urandom(4).hex()
        record = Record(spec.name, namespaces.free_network(), f"tierup{tag}", f"tierup-{tag}")
        (folder / "node").mkdir(mode=0o700)
        (folder / _RECORD).write_text(json.dumps(asdict(record)))
        cgroups.create(record.cgroup)
        node = cls(folder, record)
        mounts = claims.write(spec.claims, node.places.data / "claims") if spec.claims is not None else {}
        for path in spec.folders:
            node.folder_of(path).mkdir(parents=True)
            mounts[path] = node.folder_of(path)
        namespaces.create(folder, record.link, record.network, mounts)
        return node

    def folder_of(self, path: str) -> Path:
        """Where the content of a folder of the node, such as /var/lib/models, is on this machine."""
        return self.places.data / "folders" / path.lstrip("/")

    @classmethod
    def load(cls, folder: Path) -> Self | None:
        """The node of the cluster in `folder`, running or not; None if it has none."""
        record = _read(folder)
        return cls(folder, record) if record is not None else None

    def network(self) -> list[str]:
        """The command that starts another one in the node's network."""
        return namespaces.enter(self.folder, "net")

    def start(self, images: Sequence[LocalImage], echo: Callable[[str], None]) -> None:
        """Start every component; the API server runs and the kubeconfigs are written."""
        write_files(self.places)
        own = (busybox(SANDBOX_IMAGE), coredns(DNS_IMAGE))
        if images:
            image_store.fill(self.places.data / "containerd", [*own, *images], echo)
        for component in COMPONENTS:
            self.start_component(component)
            if component == "containerd":
                wait_for_containerd(self.folder, self.places)
                self.import_images(own, lambda _: None)

    def import_images(self, images: Iterable[LocalImage], echo: Callable[[str], None]) -> None:
        """Import images into the node's containerd, so that its pods need no registry; raises OSError."""
        import_into(self.folder, self.places, images, echo)

    def start_component(self, component: str) -> None:
        """Start one component in the node's namespaces and control groups; kubelet, until it has found containerd."""
        if component != "kubelet":
            self._start(component)
            return
        deadline = time.monotonic() + _KUBELET_TIMEOUT_S
        while time.monotonic() < deadline:
            before = len(processes.log_text(self.folder, component))
            kubelet = self._start(component)
            while processes.alive(kubelet) and time.monotonic() < deadline:
                if _RUNTIME_FOUND in processes.log_text(self.folder, component)[before:]:
                    return
                time.sleep(0.05)
            # It ends at once if containerd has not finished its start; elsewhere systemd would start it again.
            if _RUNTIME_NOT_YET not in processes.log_text(self.folder, component)[before:]:
                return

    def _start(self, component: str) -> processes.Process:
        group = str(cgroups.members_file(self.record.cgroup))
        inside = [*namespaces.enter(self.folder, "net", "mnt", "ipc", "uts"), f"--wd={self.folder}"]
        environment = ["env", f"PATH={search_path()}", f"LD_LIBRARY_PATH={toolchain_dir()}"]
        command = ["sh", "-c", _IN_GROUP, group, *inside, *environment, *commands(self.places)[component]]
        return processes.start(component, command, self.folder)

    def ended(self) -> str | None:
        """A component that does not run, with the root cause from its log; None if all run."""
        recorded = processes.recorded(self.folder)
        for component in (namespaces.HOLDER, *COMPONENTS):
            process = recorded.get(component)
            if process is None or not processes.alive(process):
                log = processes.log_text(self.folder, component)
                return f"{component} ended; from {processes.log_file(self.folder, component)}:\n{root_cause(log)}"
        return None


def problems() -> list[str]:
    """Why this machine cannot run a real node, each with what to do; empty if it can."""
    found = []
    if os.geteuid() != 0:
        found.append("it needs root - run the command with sudo, or leave out `--node real`")
    missing = [
        name for name in ("unshare", "nsenter", "setpriv", "mount", "ip") if shutil.which(name) is None
    ]
    if missing:
        found.append(f"missing {', '.join(missing)} - sudo apt-get install util-linux mount iproute2")
    for name in TOOLS:
        try:
            tool(name)
        except ToolMissing as error:
            found.append(str(error))
    if not found and (reason := _refusal()):
        found.append(f"this machine refuses what a node needs ({reason}) - use a virtual machine")
    return found


def remove(folder: Path) -> None:
    """End what runs in the node's control groups and remove what the node made; does nothing without a node."""
    record = _read(folder)
    if record is None:
        return
    cgroups.kill_all(record.cgroup)
    namespaces.remove_link(record.link)
    cgroups.remove(record.cgroup)


def _read(folder: Path) -> Record | None:
    try:
        return Record(**json.loads((folder / _RECORD).read_text()))
    except FileNotFoundError:
        return None


# In namespaces of its own, so that nothing is left: what a node does, each step once.
_PROBE = """
set -eu
cd "$0"
mount --make-rshared /
mount -t tmpfs tmpfs . && cd "$0" && mkdir lower upper work merged
mount -t overlay overlay -o lowerdir=lower,upperdir=upper,workdir=work merged
echo 1 >one && mount --bind one /proc/sys/vm/overcommit_memory
ip link add probe0 type veth peer name probe1
"$1/nft" 'table ip probe { chain out { type nat hook output priority -100; ip daddr 192.0.2.1 counter; }; }'
"$1/network-policy-enforcer" -check
"""


def _refusal() -> str | None:
    """What this machine refuses of all that a node does; None if it refuses nothing."""
    for group in (root / f"tierup-probe-{os.getpid()}" for root in cgroups.hierarchies()):
        try:
            group.mkdir()
            group.rmdir()
        except OSError as error:
            return f"{group}: {error.strerror}"
    with tempfile.TemporaryDirectory() as folder:
        command = ["unshare", "--net", "--mount", "--propagation", "private", "sh", "-c", _PROBE, folder]
        environment = {**os.environ, "LD_LIBRARY_PATH": str(toolchain_dir())}
        result = subprocess.run(
            [*command, str(toolchain_dir())], env=environment, capture_output=True, text=True, check=False
        )
    return result.stderr.strip() if result.returncode else None
