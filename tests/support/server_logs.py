"""A test that fails because a server ended shows why that ended."""

import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

from tierup.local.dev.gateway_processes import LocalGateway
from tierup.local.machine.logs import root_cause

_ENDED_AS_WANTED = (None, 0, -9, -15)  # it runs, has left, or was ended by a test
_watched: list[tuple[Path, subprocess.Popen[bytes]]] = []


def watch(log: Path, process: subprocess.Popen[bytes]) -> None:
    """From now on, whether `process` has failed is looked at when a test fails; its words are in `log`."""
    _watched.append((log, process))


def causes() -> Iterator[tuple[str, str]]:
    """A title and the root cause for each server that has failed; each is given once."""
    for item in [item for item in _watched if item[1].poll() not in _ENDED_AS_WANTED]:
        _watched.remove(item)
        log, process = item
        title = f"server that ended with {process.returncode}, from {log}"
        yield title, root_cause(log.read_text(errors="replace"))


class LoggedGateway(LocalGateway):
    """A gateway whose two processes are watched."""

    def start_nginx(self, environment: Mapping[str, str] | None = None) -> subprocess.Popen[bytes]:
        process = super().start_nginx(environment)
        watch(self.folder / "nginx.log", process)
        return process

    def start_reloader(self) -> subprocess.Popen[bytes]:
        process = super().start_reloader()
        watch(self.folder / "reloader.log", process)
        return process
