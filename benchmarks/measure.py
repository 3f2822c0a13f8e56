"""Measure wall time, CPU and memory of commands and running processes."""

import ctypes
import math
import os
import resource
import statistics
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

_PR_SET_CHILD_SUBREAPER = 36
_ORPHANS_TIMEOUT_S = 10.0
_POLL_S = 0.1  # a peak (VmHWM) only grows, so only the last tenth of a second can be missed
# By the start of the program's name; other programs (shells, git) are not counted.
_PARTS = {
    "pulumi-language": "language host",
    "pulumi-resource": "provider",
    "pulumi": "engine",
    "python": "program",
    "kubectl": "kubectl",
}


class CommandFailed(Exception):
    """A measured command failed, so its measurement is worthless."""


@dataclass(frozen=True)
class Run:
    """Wall time in seconds; CPU seconds (user and system) of the process and its descendants; peak MiB by part."""

    wall: float
    cpu: float
    peaks: Mapping[str, float] = field(default_factory=dict)

    def __add__(self, other: "Run") -> "Run":
        return Run(self.wall + other.wall, self.cpu + other.cpu)


def adopt_orphans() -> None:
    """Make this process the parent of its orphaned descendants, so that their CPU is counted too.

    Call it after the local cluster has started: its processes must not become ours.
    """
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "cannot become a subreaper")


def run(command: Sequence[str], cwd: Path, env: Mapping[str, str], *, memory: bool = False) -> Run:
    """Run `command` and measure it; with `memory`, all its descendants are sampled ten times a second."""
    with tempfile.TemporaryFile() as output:
        cpu_before, started = _children_cpu(), time.monotonic()
        process = subprocess.Popen(
            command, cwd=cwd, env=env, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
        )
        sampler = _MemorySampler(process.pid) if memory else None
        try:
            status = process.wait()
        except BaseException:
            process.kill()
            process.wait()
            raise
        wall = time.monotonic() - started
        peaks = sampler.stop() if sampler is not None else {}
        _reap()
        if status:
            output.seek(0)
            text = output.read().decode(errors="replace").strip()
            raise CommandFailed(f"`{' '.join(command[:3])}` failed with exit code {status}:\n{text}")
    return Run(wall, _children_cpu() - cpu_before, peaks)


def median(runs: Sequence[Run], of: Callable[[Run], float] = lambda run: run.wall) -> float:
    """The median of one figure over the runs."""
    return statistics.median(of(run) for run in runs)


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest value that at least `percent` of all do not exceed; `values` is not empty."""
    rank = math.ceil(len(values) * percent / 100)
    return sorted(values)[max(rank, 1) - 1]


def cpu_seconds(roots: Iterable[int]) -> float:
    """User and system time so far of running processes and their descendants, including ended ones."""
    seconds = 0.0
    for pid in tree(roots):
        with suppress(psutil.NoSuchProcess):  # it has ended: its parent has its time
            used = psutil.Process(pid).cpu_times()
            seconds += used.user + used.system + used.children_user + used.children_system
    return seconds


def resident_mib(roots: Iterable[int]) -> float:
    """Resident MiB of running processes and their descendants; shared memory counts once, as for a container."""
    resident = 0
    for pid in tree(roots):
        with suppress(psutil.NoSuchProcess):
            resident += psutil.Process(pid).memory_full_info().pss
    return resident / 2**20


def tree(roots: Iterable[int]) -> list[int]:
    """Running processes and their descendants, parents first."""
    pids = []
    for root in roots:
        pids.append(root)
        with suppress(psutil.NoSuchProcess):
            pids += [child.pid for child in psutil.Process(root).children(recursive=True)]
    return pids


def _children_cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _reap() -> None:
    """Wait for adopted orphans: plugins may outlive Pulumi's engine for a moment."""
    deadline = time.monotonic() + _ORPHANS_TIMEOUT_S
    while time.monotonic() < deadline:
        try:
            pid, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            time.sleep(0.005)
    raise CommandFailed(f"processes were still running {_ORPHANS_TIMEOUT_S:.0f} s after the command's end")


class _MemorySampler:
    """Samples the peak resident memory of a process and its descendants until `stop`.

    The peak is VmHWM, which psutil does not provide, so this reads /proc.
    """

    def __init__(self, root: int) -> None:
        """Start sampling in a thread."""
        self._peaks: dict[int, tuple[str, float]] = {}
        self._known = {root}
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self._thread.start()

    def stop(self) -> dict[str, float]:
        """Stop and return the peak MiB of each part; of several processes of a part, the largest."""
        self._done.set()
        self._thread.join()
        peaks: dict[str, float] = {}
        for part, mib in self._peaks.values():
            peaks[part] = max(mib, peaks.get(part, 0.0))
        return peaks

    def _sample(self) -> None:
        while not self._done.wait(_POLL_S):
            for pid in list(self._known):
                try:
                    lists = [task.read_text() for task in Path(f"/proc/{pid}/task").glob("*/children")]
                    self._known.update(int(child) for text in lists for child in text.split())
                    status = Path(f"/proc/{pid}/status").read_text()
                except (FileNotFoundError, ProcessLookupError):
                    continue
                lines = dict(line.split(":", 1) for line in status.splitlines())
                part = next(
                    (p for start, p in _PARTS.items() if lines["Name"].strip().startswith(start)), None
                )
                if part is not None and "VmHWM" in lines:
                    self._peaks[pid] = (part, int(lines["VmHWM"].split()[0]) / 1024)
