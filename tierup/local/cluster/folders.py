"""Decides where local clusters live: one folder and one lock per name; and how one is removed."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from tierup.findings.model import TierError
from tierup.local.machine import processes

Echo = Callable[[str], None]
LOCK_TIMEOUT_S = 120.0
_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?")


class LocalClusterError(TierError):
    """Something the user can read and act on."""


def state_root(root: Path | None = None) -> Path:
    """The folder of all local clusters: `root`, else `tierup/local` under XDG_STATE_HOME (~/.local/state)."""
    if root is not None:
        return root.absolute()
    home = os.environ.get("XDG_STATE_HOME", "")
    return (Path(home) if os.path.isabs(home) else Path.home() / ".local" / "state") / "tierup" / "local"


def list_clusters(root: Path | None = None) -> list[str]:
    """The names of the clusters that have a folder, running or not."""
    try:
        return sorted(entry.name for entry in state_root(root).iterdir() if _NAME.fullmatch(entry.name))
    except FileNotFoundError:
        return []


def cluster_folder(name: str, root: Path | None) -> Path:
    """The folder of the cluster `name`; LocalClusterError when that is no name for one."""
    if not _NAME.fullmatch(name):
        raise LocalClusterError(
            f"cluster name: not a name (got {name!r}; allowed: up to 40 of a-z, 0-9, inner '-') - rename it"
        )
    return state_root(root) / name


def clean(folder: Path) -> bool:
    """End the recorded processes and remove the folder, also after an earlier attempt was cut short."""
    doomed = folder.with_name(f".{folder.name}.removing")
    found = False
    for _ in range(2):  # what an earlier attempt left, then what is there now
        if doomed.exists():
            found = True
            for process in processes.recorded(doomed).values():
                processes.kill(process)
            shutil.rmtree(doomed)
        if folder.exists():
            # Renamed first: a process on its way up cannot write its record any more, so it never starts.
            folder.rename(doomed)
    return found


@contextlib.contextmanager
def lock(folder: Path, echo: Echo) -> Iterator[None]:
    """Hold the one lock of this cluster's name; the kernel drops it when its holder dies."""
    path = folder.with_name(f".{folder.name}.lock")
    deadline = time.monotonic() + LOCK_TIMEOUT_S
    told = False
    while True:
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            file = path.open("w")
        except OSError as error:
            fix = "set XDG_STATE_HOME to a folder of yours"
            raise LocalClusterError(f"cannot write to {folder.parent}: {error.strerror} - {fix}") from None
        with contextlib.suppress(BlockingIOError, FileNotFoundError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # A holder that left has removed the file: a lock on the removed one keeps nobody out.
            if os.path.samestat(os.fstat(file.fileno()), path.stat()):
                break
        file.close()
        if time.monotonic() > deadline:
            raise LocalClusterError(
                f"local cluster {folder.name}: another command has been busy with it for too long"
            )
        if not told:
            echo(f"local cluster {folder.name}: waiting for another command to finish with it")
            told = True
        time.sleep(0.1)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        file.close()
