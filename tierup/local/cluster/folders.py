"""The state folder and the lock of each local cluster, and how a cluster is removed."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tierup.findings.model import TierError
from tierup.local import node
from tierup.local.machine import processes

Echo = Callable[[str], None]
LOCK_TIMEOUT_S = 120.0
_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?")


@dataclass(frozen=True)
class Status:
    """The current state of a cluster; a component that does not run has no pid, and the user's has no components."""

    name: str
    ready: bool
    server: str | None
    kubeconfig: Path | None
    pids: dict[str, int | None]


class LocalClusterError(TierError):
    """An error whose message is meant for the user."""


def state_root(root: Path | None = None) -> Path:
    """The folder of all local clusters: `root`, else `tierup/local` under XDG_STATE_HOME (~/.local/state)."""
    if root is not None:
        return root.absolute()
    home = os.environ.get("XDG_STATE_HOME", "")
    return (Path(home) if Path(home).is_absolute() else Path.home() / ".local" / "state") / "tierup" / "local"


def list_clusters(root: Path | None = None) -> list[str]:
    """Names of the clusters that have a folder, running or not."""
    try:
        return sorted(entry.name for entry in state_root(root).iterdir() if _NAME.fullmatch(entry.name))
    except FileNotFoundError:
        return []


def cluster_folder(name: str, root: Path | None) -> Path:
    """The folder of the cluster `name`; raises LocalClusterError if the name is not valid."""
    if not _NAME.fullmatch(name):
        raise LocalClusterError(
            f"cluster name: not valid (got {name!r}; allowed: up to 40 of a-z, 0-9, inner '-') - choose another name"
        )
    return state_root(root) / name


def existing_record(folder: Path) -> Path:
    """The file that says that the stack of this folder is on a cluster of the user's."""
    return folder / "existing.json"


def remove_cluster(folder: Path) -> bool:
    """Kill the recorded processes and remove the folder, also one left by an interrupted removal; False: no folder."""
    removing = folder.with_name(f".{folder.name}.removing")
    removed = False
    # First the rest of an interrupted removal, then the folder itself, then what its last processes wrote meanwhile.
    for _ in range(3):
        if removing.exists():
            removed = True
            for process in processes.recorded(removing).values():
                processes.kill(process)
            node.remove(removing)
            shutil.rmtree(removing)
        if folder.exists():
            # Rename first: a process that is just starting can then no longer write its record, so it never starts.
            folder.rename(removing)
    return removed


@contextlib.contextmanager
def lock(folder: Path, echo: Echo) -> Iterator[None]:
    """Hold the lock of this cluster's name; the kernel releases it when its holder ends."""
    path = folder.with_name(f".{folder.name}.lock")
    deadline = time.monotonic() + LOCK_TIMEOUT_S
    announced = False
    while True:
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            file = path.open("w")
        except OSError as error:
            fix = "set XDG_STATE_HOME to a folder that you can write to"
            raise LocalClusterError(f"cannot write to {folder.parent}: {error.strerror} - {fix}") from None
        with contextlib.suppress(BlockingIOError, FileNotFoundError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # The last holder has removed the file; a lock on the removed file would keep nobody out.
            if os.path.samestat(os.fstat(file.fileno()), path.stat()):
                break
        file.close()
        if time.monotonic() > deadline:
            raise LocalClusterError(
                f"local cluster {folder.name}: another command has used it for {LOCK_TIMEOUT_S:.0f} s - "
                "wait for that command, or end it"
            )
        if not announced:
            echo(f"local cluster {folder.name}: waiting for another command to finish with it")
            announced = True
        time.sleep(0.1)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        file.close()
