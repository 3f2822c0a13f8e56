"""Runs Python programs in processes of their own that have the product's imports behind them.

A process with its own streams, folder, environment, exit code and signals proves what a call within pytest cannot, but
half a second of each `tierup` is imports. Here one process imports every command and forks for each program: the
program begins where a fresh interpreter would have ended its imports. What depends on the start of Python itself
(closed outputs, what a command imports) belongs in a process of `sys.executable`.

    warm_python.py SOCKET MODULE...          the process that imports the modules and forks
    warm_python.py --client SOCKET CODE ...  runs CODE there on its own streams, as `python -c` would
"""

import array
import contextlib
import json
import os
import select
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

ENDS = 120.0  # seconds; a program that takes longer hangs
_LENGTH = 8  # bytes before a message
TIERUP = "from tierup.cli import main; main()"


class WarmPython:
    """Such a process; it is started for the first program and ends with its folder."""

    def __init__(self, folder: Path, modules: Sequence[str], project: Path) -> None:
        """`modules` are imported once, from `project` and the installed packages."""
        self.socket = folder / "socket"
        self._log = (folder / "log").open("w+")
        self._process = subprocess.Popen(
            [sys.executable, __file__, str(self.socket), *modules],
            env={**os.environ, "PYTHONPATH": str(project)},
            cwd=project,
            stdin=subprocess.PIPE,  # its end, however this process ends, is the end of that one
            stdout=subprocess.PIPE,
            stderr=self._log,
            start_new_session=True,
        )
        assert self._process.stdout is not None
        if self._process.stdout.read(1) != b"+":  # it listens
            self._log.seek(0)
            raise RuntimeError(f"the modules cannot be imported: {self._log.read()}")

    def close(self) -> None:
        """End it; a program that hangs is killed."""
        try:
            self._process.communicate(timeout=5)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.communicate()
        self._log.close()

    def start(
        self, code: str, *arguments: str, streams: tuple[int, int, int], cwd: Path, env: Mapping[str, str]
    ) -> "Started":
        """Begin a program on these file descriptors, which stay open here, too."""
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(ENDS)
        connection.connect(str(self.socket))
        _send(connection, {"code": code, "arguments": arguments, "cwd": str(cwd), "env": dict(env)}, streams)
        return Started(connection)

    def script(self, code: str) -> str:
        """The text of a shell script that runs a program with the script's arguments, streams and environment."""
        words = (sys.executable, "-I", "-S", __file__, "--client", str(self.socket), code)
        return f'#!/bin/sh\nexec {shlex.join(words)} "$@"\n'

    def run(
        self,
        code: str,
        *arguments: str,
        cwd: Path,
        env: Mapping[str, str] | None = None,
        stdin: bytes | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """The ended program, with what it printed."""
        with contextlib.ExitStack() as files:
            given, out, err = (files.enter_context(tempfile.TemporaryFile()) for _ in range(3))
            if stdin is not None:
                given.write(stdin)
                given.seek(0)
            streams = (given.fileno(), out.fileno(), err.fileno())
            program = self.start(
                code, *arguments, streams=streams, cwd=cwd, env=os.environ if env is None else env
            )
            exit_code = program.wait()
            out.seek(0)
            err.seek(0)
            return subprocess.CompletedProcess(
                [code, *arguments], exit_code, out.read().decode(), err.read().decode()
            )


class Started:
    """A program on its way."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection

    def wait(self) -> int:
        """Its exit code, negative for a signal; raises `TimeoutError` after `ENDS` seconds."""
        with self._connection:
            return int(_receive(self._connection)[0]["code"])


@contextlib.contextmanager
def warm_python(modules: Sequence[str], project: Path) -> Iterator[WarmPython]:
    """One for the length of a `with`; its socket's path is short, as the system wants it."""
    with tempfile.TemporaryDirectory(prefix="warm-") as folder:
        python = WarmPython(Path(folder), modules, project)
        try:
            yield python
        finally:
            python.close()


def _send(connection: socket.socket, message: Mapping[str, Any], streams: Sequence[int] = ()) -> None:
    data = json.dumps(message).encode()
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", streams))] if streams else []
    connection.sendmsg([len(data).to_bytes(_LENGTH, "big")], rights)
    connection.sendall(data)


def _receive(connection: socket.socket) -> tuple[dict[str, Any], list[int]]:
    head, streams, _, _ = socket.recv_fds(connection, _LENGTH, 3)
    data = b""
    while head and len(data) < int.from_bytes(head, "big"):
        data += connection.recv(65536)
    message: dict[str, Any] = json.loads(data)
    return message, streams


def _serve(path: str) -> str:
    """Fork for each request; returns only in the child that is to become the program, with its code."""
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(path)
    listening.listen(64)
    os.write(1, b"+")
    children = 0
    while True:
        ended = 0 in select.select([listening.fileno(), 0], [], [])[0]
        while children and os.waitpid(-1, 0 if ended else os.WNOHANG)[0]:
            children -= 1
        if ended:
            sys.exit()
        connection, _ = listening.accept()
        if os.fork():
            connection.close()
            children += 1
            continue
        listening.close()
        request, streams = _receive(connection)
        program = os.fork()
        if not program:
            connection.close()
            return _become(request, streams)
        for stream in streams:
            os.close(stream)
        _, status = os.waitpid(program, 0)
        _send(connection, {"code": os.waitstatus_to_exitcode(status)})
        os._exit(0)


def _become(request: Mapping[str, Any], streams: Sequence[int]) -> str:
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["env"])
    for out in (sys.stdout, sys.stderr):
        out.reconfigure(line_buffering=out is sys.stderr or out.isatty())  # type: ignore[union-attr]
    sys.argv = ["-c", *request["arguments"]]
    sys.path[0] = ""
    return str(request["code"])


def _client(path: str, code: str, *arguments: str) -> int:
    """Run a program there on the streams of this process; its exit code."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(path)
        request = {"code": code, "arguments": arguments, "cwd": str(Path.cwd()), "env": dict(os.environ)}
        _send(connection, request, (0, 1, 2))
        exit_code = int(_receive(connection)[0]["code"])
    return exit_code if exit_code >= 0 else 128 - exit_code


if __name__ == "__main__":
    if sys.argv[1] == "--client":
        sys.exit(_client(*sys.argv[2:]))
    import gc
    import importlib

    sys.path[0] = os.getcwd()  # noqa: PTH109 - not this folder
    for name in sys.argv[2:]:
        importlib.import_module(name)
    gc.freeze()  # else the first collection of each child copies all pages of the imports
    exec(compile(_serve(sys.argv[1]), "<string>", "exec"), {"__name__": "__main__"})
