"""Decides how a benchmark's processes start and end: by id, whatever happens, and their folder goes with them."""

import http.client
import json
import os
import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

END_S = 10.0


class Place:
    """A folder and the processes that were started in it."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        """`place` makes them."""
        self.folder = folder
        self._stack = stack

    def room(self, name: str) -> Path:
        """A new folder inside."""
        folder = self.folder / name
        folder.mkdir()
        return folder

    def at_end(self, do: Callable[[], object]) -> None:
        """Have something done before the folder goes; the last said comes first."""
        self._stack.callback(do)

    def start(self, name: str, command: Sequence[str], *, speaks: bool = False) -> subprocess.Popen[str]:
        """Start a process in a group of its own, logging to `<name>.log`; if it `speaks`, its output is a pipe.

        A terminal's interrupt reaches this program alone, which then ends the groups in order.
        """
        # An interrupt inside Popen would leave a process that nobody knows of.
        with (self.folder / f"{name}.log").open("ab") as log, uninterrupted():
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE if speaks else log,
                stderr=log,
                text=True,
                start_new_session=True,
            )
            self.at_end(partial(_end, process))
        return process

    def told(self, name: str) -> str:
        """The end of a process's log."""
        return (self.folder / f"{name}.log").read_text(errors="replace")[-2000:]


@contextmanager
def place() -> Iterator[Place]:
    """A place to run in; at its end every process is gone, then the folder."""
    with TemporaryDirectory(prefix="tierup-bench-") as folder, ExitStack() as stack:
        try:
            yield Place(Path(folder), stack)
        finally:
            with uninterrupted():
                stack.close()


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Hold SIGINT and SIGTERM back until the end of the block, then let one of them interrupt."""
    held: list[int] = []
    before = {
        number: signal.signal(number, lambda came, _: held.append(came))
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if held:
        raise KeyboardInterrupt


def _end(process: subprocess.Popen[str]) -> None:
    """Let it end, then kill what is left of its group: Nginx outlives the script that started it."""
    process.terminate()
    with suppress(subprocess.TimeoutExpired):
        process.wait(END_S)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    if process.stdout is not None:
        process.stdout.close()


def ask(
    address: str, method: str, path: str, body: object = None, headers: Mapping[str, str] | None = None
) -> tuple[int, bytes]:
    """One request's status and answer; raises OSError or HTTPException when there is none."""
    connection = http.client.HTTPConnection(address, timeout=10)
    try:
        sent = {"Content-Type": "application/json", **(headers if headers is not None else {})}
        connection.request(method, path, None if body is None else json.dumps(body), sent)
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()
