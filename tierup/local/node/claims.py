"""What a local node claims about its machine: a server's processors and memory, so that pods of a tier fit on it.

Kubelet reads both from files of the kernel; it finds these instead, in its own mounts only. Pods see the real machine.
"""

import re
from dataclasses import dataclass
from pathlib import Path

_CPUS = "/sys/devices/system/cpu"
_NUMA_NODES = "/sys/devices/system/node"  # without any, kubelet counts the processors of _CPUS
_MEMORY = "/proc/meminfo"


@dataclass(frozen=True)
class Claims:
    """A server's hardware threads, and its memory in GiB."""

    cpu: int
    memory_gib: int


def write(claims: Claims, folder: Path) -> dict[str, Path]:
    """Write the files into `folder`; returns what each file or folder of the kernel is replaced with."""
    cpus, numa_nodes, memory = folder / "cpu", folder / "numa", folder / "meminfo"
    numa_nodes.mkdir(parents=True)
    for number in range(claims.cpu):
        topology = cpus / f"cpu{number}" / "topology"
        topology.mkdir(parents=True)
        (topology / "core_id").write_text(f"{number}\n")
        (topology / "physical_package_id").write_text("0\n")
    for name in ("online", "possible", "present"):  # the real ones, because control groups take no others
        (cpus / name).write_text(Path(_CPUS, name).read_text())
    total = f"MemTotal: {claims.memory_gib * 1024**2} kB"
    memory.write_text(re.sub(r"^MemTotal:.*$", total, Path(_MEMORY).read_text(), count=1, flags=re.MULTILINE))
    return {_CPUS: cpus, _NUMA_NODES: numa_nodes, _MEMORY: memory}
