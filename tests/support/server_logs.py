"""Show why a server ended in the report of a test that failed because of it."""

import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

from tierup.local.dev.gateway_processes import LocalGateway
from tierup.local.machine.logs import root_cause

_EXPECTED_CODES = (None, 0, -9, -15)  # it runs, has exited, or was ended by a test
_watched: list[tuple[Path, subprocess.Popen[bytes]]] = []


def watch(log: Path, process: subprocess.Popen[bytes]) -> None:
    """Report `process`, whose output is in `log`, if it has failed when a test fails."""
    _watched.append((log, process))


def causes() -> Iterator[tuple[str, str]]:
    """A title and the root cause for each failed server; each is reported once."""
    for item in [item for item in _watched if item[1].poll() not in _EXPECTED_CODES]:
        _watched.remove(item)
        log, process = item
        title = f"server that ended with {process.returncode}, from {log}"
        yield title, root_cause(log.read_text(errors="replace"))


class LoggedGateway(LocalGateway):
    """A gateway whose two processes are reported if they fail."""

    def start_nginx(self, environment: Mapping[str, str] | None = None) -> subprocess.Popen[bytes]:
        process = super().start_nginx(environment)
        watch(self.folder / "nginx.log", process)
        return process

    def start_reloader(self) -> subprocess.Popen[bytes]:
        process = super().start_reloader()
        watch(self.folder / "reloader.log", process)
        return process
