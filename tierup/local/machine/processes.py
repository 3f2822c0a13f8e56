"""Start, identify and kill the processes of a local cluster; a process is identified by pid and start time."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

# The process writes its own record before exec, so it can be found even if its parent is killed at any moment.
# If the folder has been removed meanwhile, the program does not start.
_RECORD_THEN_EXEC = """
umask 077
cat /proc/sys/kernel/random/boot_id "/proc/$$/stat" > "$0.tmp" && mv "$0.tmp" "$0" && exec "$@"
"""
# The outer shell exits at once, so the program becomes a child of init and outlives the caller.
_DETACH = '/bin/sh -c "$@" &'
_RECORDS = "processes"
_START_TIMEOUT_S = 60.0
_KILL_TIMEOUT_S = 60.0


@dataclass(frozen=True)
class Process:
    """Identity of a process. The pid alone is not enough, because Linux reuses pids."""

    component: str
    pid: int
    boot: str
    started: str  # clock ticks since boot, field 22 of /proc/<pid>/stat


def start(component: str, command: list[str], folder: Path) -> Process:
    """Start `command` in a session of its own, logging to `<folder>/logs/<component>.log`."""
    records = folder / _RECORDS
    record = records / component
    record.unlink(missing_ok=True)
    # A small environment: the caller's KUBECONFIG, proxies and ~/.kwok must not reach the cluster.
    environment = {"PATH": os.defpath, "HOME": str(folder)}
    with log_file(folder, component).open("ab") as log:
        shell = ["/bin/sh", "-c", _DETACH, "sh", _RECORD_THEN_EXEC, str(record), *command]
        subprocess.run(
            shell,
            env=environment,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            check=True,
        )
    deadline = time.monotonic() + _START_TIMEOUT_S
    while not record.exists():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{component} did not start within {_START_TIMEOUT_S:.0f} s")
        time.sleep(0.005)
    return _read(record)


def recorded(folder: Path) -> dict[str, Process]:
    """Every process that was started in `folder`, dead or alive, by component name."""
    by_component = {}
    for path in sorted((folder / _RECORDS).glob("*")):
        if path.suffix != ".tmp":
            with contextlib.suppress(FileNotFoundError):  # restarted or removed meanwhile
                by_component[path.name] = _read(path)
    return by_component


def alive(process: Process) -> bool:
    """Whether this process still runs; False for a zombie and for another process with the same pid."""
    try:
        boot, stat = Path("/proc/sys/kernel/random/boot_id"), Path(f"/proc/{process.pid}/stat")
        boot_id, _, state, started = _identity(boot.read_text() + stat.read_text())
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return False  # PermissionError: another user's process may hide its stat
    return (boot_id, started) == (process.boot, process.started) and state not in "ZX"


def end_group(leader: subprocess.Popen[bytes], seconds: float) -> None:
    """Wait up to `seconds` for a terminating child, then send SIGKILL to the rest of its process group."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        leader.wait(seconds)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(leader.pid, signal.SIGKILL)
    leader.wait(seconds)


def kill(process: Process) -> None:
    """Send SIGKILL to `process` and wait until it has ended; does nothing if it has ended already."""
    try:
        pidfd = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return
    try:
        # Check while the pidfd is open: a pidfd always means the same process, even if the pid is reused.
        if not alive(process):
            return
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        poll = select.poll()
        poll.register(pidfd, select.POLLIN)
        if not poll.poll(_KILL_TIMEOUT_S * 1000):
            raise TimeoutError(f"{process.component} (pid {process.pid}) did not end after SIGKILL")
    finally:
        os.close(pidfd)


def log_file(folder: Path, component: str) -> Path:
    """The file of `component`'s standard output and error."""
    return folder / "logs" / f"{component}.log"


def log_text(folder: Path, component: str) -> str:
    """The log of a component so far; empty if there is none."""
    try:
        return log_file(folder, component).read_text(errors="replace")
    except FileNotFoundError:
        return ""


def make_folders(folder: Path) -> None:
    """Create the folders that `start` writes to."""
    for name in (_RECORDS, "logs"):
        (folder / name).mkdir(mode=0o700)


def _read(record: Path) -> Process:
    boot, pid, _, started = _identity(record.read_text())
    return Process(component=record.name, pid=pid, boot=boot, started=started)


def _identity(text: str) -> tuple[str, int, str, str]:
    """Boot id, pid, state and start time from boot_id and stat (the process name in brackets may hold anything)."""
    boot, stat = text.split("\n", 1)
    pid, rest = stat.split(" (", 1)
    fields = rest.rpartition(")")[2].split()
    return boot, int(pid), fields[0], fields[19]
