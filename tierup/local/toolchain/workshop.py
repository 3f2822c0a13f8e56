"""How an installer run works: alone, in a scratch folder, how it runs commands, when a tool counts as good."""

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


class WayFailed(Exception):
    """This way did not yield the tool; the message says why in a few words."""


@dataclass
class Workshop:
    """What one installer run shares: its scratch folder, and what it has learned about the network."""

    scratch: Path
    bin: Path
    modules: Path
    echo: Callable[[str], None]
    unreachable: dict[str, str] = field(default_factory=dict)
    archives: dict[str, Path] = field(default_factory=dict)
    apt_options: list[str] = field(default_factory=list)
    advice: dict[str, None] = field(default_factory=dict)  # what would have helped, each once


@contextlib.contextmanager
def one_at_a_time(cache: Path, echo: Callable[[str], None]) -> Iterator[None]:
    """One installer at a time in this cache; the lock goes with the process, however it ends."""
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


def verify(shop: Workshop, tool: Tool, file: Path) -> None:
    """Run the tool's check on `file`; WayFailed says what it printed instead of the pin."""
    if tool.check is None:
        return
    places = {"file": str(file), "bin": str(shop.bin)}
    with tempfile.TemporaryFile("w+") as stdin:
        # A real file, not a pipe: nginx reads only as many bytes of its configuration as stat reports.
        stdin.write(tool.fill(tool.check.stdin or "", **places))
        stdin.seek(0)
        command = [tool.fill(word, **places) for word in tool.check.command]
        env = os.environ | {"PULUMI_SKIP_UPDATE_CHECK": "true"}
        try:
            done = subprocess.run(
                command,
                stdin=stdin,
                capture_output=True,
                text=True,
                timeout=CHECK_SECONDS,
                check=False,
                env=env,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise WayFailed(f"{file} does not run: {error}") from error
    said = done.stdout + done.stderr
    match = re.search(tool.check.pattern, said)
    if match is None:
        raise WayFailed(f"{file} says: {short(said)}")
    if match.groups() and not tool.accepts(match[1]):
        raise WayFailed(f"{file} is version {match[1]}")


def run(command: Sequence[str], folder: Path, shop: Workshop, beat: str | None = None) -> str:
    """Run a command to its end and return what it printed; WayFailed carries the end of it.

    `beat` names a long command: it is echoed with the seconds gone every half minute.
    """
    scratch = shop.scratch / "tmp"
    scratch.mkdir(exist_ok=True)
    env = {name: value for name, value in os.environ.items() if name not in {"GOOS", "GOARCH"}}
    env |= {"GOFLAGS": "", "GOWORK": "off", "CGO_ENABLED": "0", "GOTMPDIR": str(scratch), "LC_ALL": "C"}
    started = time.monotonic()
    output, errors = subprocess.PIPE, subprocess.STDOUT
    with subprocess.Popen(
        command, cwd=folder, env=env, stdin=subprocess.DEVNULL, stdout=output, stderr=errors
    ) as child:
        try:
            while True:
                try:
                    said = child.communicate(timeout=HEARTBEAT_SECONDS)[0].decode(errors="replace")
                    break
                except subprocess.TimeoutExpired:
                    if beat:
                        shop.echo(f"        still {beat}, {time.monotonic() - started:.0f} s")
        except BaseException:
            child.kill()
            raise
    if child.returncode:
        raise WayFailed(f"{' '.join(command[:2])} failed: {short(said) or f'exit code {child.returncode}'}")
    return said


def short(text: str) -> str:
    """The last lines of a program's output, as one line that fits an error list."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return " | ".join(lines[-3:])[-400:]
