"""State and helpers that all install methods share: the lock, running a command, checking a tool."""

import contextlib
import fcntl
import os
import re
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tierup.local.toolchain.pins import Tool

CHECK_SECONDS = 30
HEARTBEAT_SECONDS = 30


class InstallMethodFailed(Exception):
    """This install method did not produce the tool; the message briefly says why."""


@dataclass
class InstallRun:
    """State of one installer run: its folders, unreachable hosts and downloaded archives."""

    scratch: Path
    bin: Path
    modules: Path
    echo: Callable[[str], None]
    unreachable: dict[str, str] = field(default_factory=dict)
    archives: dict[str, Path] = field(default_factory=dict)
    apt_options: list[str] = field(default_factory=list)
    advice: dict[str, None] = field(default_factory=dict)  # ordered set of hints for the error message


@contextlib.contextmanager
def install_lock(cache: Path, echo: Callable[[str], None]) -> Iterator[None]:
    """Let only one installer use this cache; the kernel releases the lock when the process ends."""
    with (cache / "lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            echo(f"waiting for another install to end (process {lock.read() or 'unknown'})")
            fcntl.flock(lock, fcntl.LOCK_EX)
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield


def verify(install_run: InstallRun, tool: Tool, file: Path) -> None:
    """Run the tool's check on `file`; raises InstallMethodFailed with its output or its wrong version."""
    if tool.check is None:
        return
    variables = {"file": str(file), "bin": str(install_run.bin)}
    with tempfile.TemporaryFile("w+") as stdin:
        # A real file, not a pipe: nginx reads only as many bytes of its configuration as stat reports.
        stdin.write(tool.fill(tool.check.stdin or "", **variables))
        stdin.seek(0)
        command = [tool.fill(argument, **variables) for argument in tool.check.command]
        env = os.environ | {"PULUMI_SKIP_UPDATE_CHECK": "true"}
        try:
            result = subprocess.run(
                command,
                stdin=stdin,
                capture_output=True,
                text=True,
                timeout=CHECK_SECONDS,
                check=False,
                env=env,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise InstallMethodFailed(f"{file} does not run: {error}") from error
    output = result.stdout + result.stderr
    match = re.search(tool.check.pattern, output)
    if match is None:
        raise InstallMethodFailed(f"{file} prints: {last_lines(output)}")
    if match.groups() and not tool.accepts(match[1]):
        raise InstallMethodFailed(f"{file} is version {match[1]}")


def run(command: Sequence[str], folder: Path, install_run: InstallRun, label: str | None = None) -> str:
    """Run a command and return its output; raises InstallMethodFailed with the last lines of it.

    `label` names a long command: it is echoed with the elapsed seconds every half minute.
    """
    scratch = install_run.scratch / "tmp"
    scratch.mkdir(exist_ok=True)
    env = {name: value for name, value in os.environ.items() if name not in {"GOOS", "GOARCH"}}
    env |= {"GOFLAGS": "", "GOWORK": "off", "CGO_ENABLED": "0", "GOTMPDIR": str(scratch), "LC_ALL": "C"}
    started = time.monotonic()
    with subprocess.Popen(
        command,
        cwd=folder,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ) as child:
        try:
            while True:
                try:
                    output = child.communicate(timeout=HEARTBEAT_SECONDS)[0].decode(errors="replace")
                    break
                except subprocess.TimeoutExpired:
                    if label:
                        install_run.echo(f"        still {label}, {time.monotonic() - started:.0f} s")
        except BaseException:
            child.kill()
            raise
    if child.returncode:
        reason = last_lines(output) or f"exit code {child.returncode}"
        raise InstallMethodFailed(f"{' '.join(command[:2])} failed: {reason}")
    return output


def last_lines(text: str) -> str:
    """The last three lines of a program's output, joined to one short line for an error message."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return " | ".join(lines[-3:])[-400:]
