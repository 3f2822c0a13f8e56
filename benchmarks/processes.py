"""Start a benchmark's processes in a temporary folder, and always end them and remove the folder."""

import http.client
import json
import os
import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

END_S = 10.0
T = TypeVar("T")


class Workspace:
    """A folder and the processes that were started in it."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        """Use `new_workspace`."""
        self.folder = folder
        self._stack = stack

    def subfolder(self, name: str) -> Path:
        """Create a folder in the workspace."""
        folder = self.folder / name
        folder.mkdir()
        return folder

    def enter(self, context: AbstractContextManager[T]) -> T:
        """Enter a context, which is left before the folder is removed."""
        return self._stack.enter_context(context)

    def at_end(self, function: Callable[[], object]) -> None:
        """Register a function to call before the folder is removed, in reverse order of registration."""
        self._stack.callback(function)

    def start(self, name: str, command: Sequence[str], *, pipe_stdout: bool = False) -> subprocess.Popen[str]:
        """Start a process in a group of its own, logging to `<name>.log`; with `pipe_stdout` its output is a pipe.

        Only this program gets a terminal's interrupt, and then ends the groups in order.
        """
        # An interrupt inside Popen would leave an unknown process behind.
        with (self.folder / f"{name}.log").open("ab") as log, uninterrupted():
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE if pipe_stdout else log,
                stderr=log,
                text=True,
                start_new_session=True,
            )
            self.at_end(partial(_end, process))
        return process

    def log_tail(self, name: str) -> str:
        """The end of a process's log."""
        return (self.folder / f"{name}.log").read_text(errors="replace")[-2000:]


@contextmanager
def new_workspace() -> Iterator[Workspace]:
    """A temporary workspace; at the end its processes are ended and its folder is removed."""
    with TemporaryDirectory(prefix="tierup-bench-") as folder, ExitStack() as stack:
        try:
            yield Workspace(Path(folder), stack)
        finally:
            with uninterrupted():
                stack.close()


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Delay SIGINT and SIGTERM until the end of the block, then raise KeyboardInterrupt if one arrived."""
    held: list[int] = []
    before = {
        number: signal.signal(number, lambda received, _: held.append(received))
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
    """Terminate it, then kill the rest of its group: Nginx may outlive the script that started it."""
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
    """Send one request; returns the status and body. Raises OSError or HTTPException without a response."""
    connection = http.client.HTTPConnection(address, timeout=10)
    try:
        sent = {"Content-Type": "application/json", **(headers if headers is not None else {})}
        connection.request(method, path, None if body is None else json.dumps(body), sent)
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()
