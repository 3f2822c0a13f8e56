"""The control groups of a local node: one folder in each hierarchy, which also finds every process of the node.

Version 1 (a hierarchy per controller), version 2 and both together are supported.
"""

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

_MOUNTS = Path("/proc/self/mounts")
_INHERITED = (
    "cpuset.cpus",
    "cpuset.mems",
)  # version 1: empty in a new group, and then no process may enter it
_KILL_TIMEOUT_S = 30.0


def hierarchies() -> list[Path]:
    """Where each hierarchy of this machine is mounted."""
    mounts = [line.split() for line in _MOUNTS.read_text().splitlines()]
    return [Path(fields[1]) for fields in mounts if fields[2] in ("cgroup", "cgroup2")]


def create(name: str) -> None:
    """Create the group `name` in every hierarchy."""
    for hierarchy in hierarchies():
        group = hierarchy / name
        group.mkdir(exist_ok=True)
        for file in _INHERITED:
            if (group / file).exists() and not (group / file).read_text().strip():
                (group / file).write_text((hierarchy / file).read_text())


def members_file(name: str) -> Path:
    """The file that moves a process into the group `name` once its pid is written; children stay in the group."""
    return hierarchies()[-1] / name / "cgroup.procs"


def kill_all(name: str) -> None:
    """Send SIGKILL to every process of the group and its subgroups until none is left.

    Raises TimeoutError if some do not end.
    """
    deadline = time.monotonic() + _KILL_TIMEOUT_S
    while pids := processes_of(name):
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if time.monotonic() > deadline:
            raise TimeoutError(f"processes of {name} do not end: {sorted(pids)}")
        time.sleep(0.02)


def remove(name: str) -> None:
    """Remove the group and its subgroups from every hierarchy; they have no processes any more.

    A group is busy until its last process is reaped. Raises OSError if one stays busy.
    """
    deadline = time.monotonic() + _KILL_TIMEOUT_S
    for group in _groups(name):
        while True:
            try:
                group.rmdir()
            except FileNotFoundError:
                break
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.02)
            else:
                break


def processes_of(name: str) -> set[int]:
    """Pids of the processes in the group and its subgroups, in any hierarchy."""
    pids: set[int] = set()
    for group in _groups(name):
        with contextlib.suppress(OSError):  # it has been removed meanwhile
            pids.update(map(int, (group / "cgroup.procs").read_text().split()))
    return pids


def _groups(name: str) -> Iterator[Path]:
    """The group's folders in every hierarchy, the innermost first."""
    for hierarchy in hierarchies():
        for folder, _, _ in os.walk(hierarchy / name, topdown=False):
            yield Path(folder)
