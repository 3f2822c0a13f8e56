"""Runs the gateway of a plan as in its pod: Nginx by gateway-run.sh, the reloader beside it, files between them."""

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tierup.local.toolchain import ToolMissing, tool
from tierup.manifests.gateway_files import Place, files
from tierup.plan import Plan

DEADLINE = 60.0  # of what takes milliseconds on an idle machine
CHAT = "/v1/chat/completions"
COMPLETIONS = "/v1/completions"


def find_nginx() -> tuple[Path, Path]:
    """Nginx and its njs module; skips where they are not installed."""
    try:
        return Path(tool("nginx")), Path(tool("ngx_http_js_module.so"))
    except ToolMissing as missing:
        pytest.skip(f"NOT PROVEN, there is no nginx with njs: run `make toolchain` ({missing})")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def until(condition: Callable[[], bool], what: str, seconds: float = DEADLINE) -> None:
    """Poll; a test never waits for a fixed time."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"{what}: not within {seconds} s"
        time.sleep(0.01)


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    text: bytes

    @property
    def said(self) -> dict[str, Any]:
        parsed: dict[str, Any] = json.loads(self.text)
        return parsed

    @property
    def error(self) -> dict[str, Any]:
        """The error in OpenAI's shape, whole."""
        assert self.headers["content-type"] == "application/json", self
        error: dict[str, Any] = self.said["error"]
        assert error.keys() == {"message", "type", "param", "code"}, error
        assert self.said.keys() == {"error"}
        return error


@dataclass
class GatewayStack:
    """One running gateway. `engines` are addresses by model slug, `keys` values by caller."""

    plan: Plan
    folder: Path
    engines: Mapping[str, Sequence[str]]
    keys: Mapping[str, Sequence[str]] = field(default_factory=dict)
    gateways: Path | None = None  # where the ready gateways are listed; default: this one alone
    port: int = 0
    status_port: int = 0
    _processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"{self.plan.gateway.scheme}://127.0.0.1:{self.port}"

    @property
    def scratch(self) -> Path:
        return self.folder / "scratch"

    @property
    def nginx(self) -> subprocess.Popen[bytes]:
        """gateway-run.sh, whose child Nginx is."""
        return self._processes[0]

    @property
    def reloader(self) -> subprocess.Popen[bytes]:
        return self._processes[1]

    def place(self) -> Place:
        _, module = find_nginx()
        engines = {slug: f"file:{self.folder}/engines-{slug}.json" for slug in self.engines}
        alone = self.folder / "gateways.json"
        return Place(
            files=str(self.folder / "files"),
            scratch=str(self.scratch),
            keys=str(self.folder / "keys"),
            certificate=str(self.folder / "tls"),
            listen=f"127.0.0.1:{self.port}",
            status_listen=f"127.0.0.1:{self.status_port}",
            access_log=str(self.folder / "access.log"),
            user="root" if os.geteuid() == 0 else None,
            js_module=str(module),
            modern=False,
            engines=engines,
            gateways=f"file:{alone if self.gateways is None else self.gateways}",
        )

    def set_engines(self, slug: str, addresses: Sequence[str]) -> None:
        write(self.folder / f"engines-{slug}.json", json.dumps(list(addresses)))

    def set_key(self, name: str, values: Sequence[str]) -> None:
        write(self.folder / "keys" / name, "\n".join(values))

    def start(self) -> "GatewayStack":
        """Both processes, until the status port answers; a port that another took meanwhile is chosen anew."""
        nginx, _ = find_nginx()
        for name in ("files", "scratch", "keys"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        for name, values in self.keys.items():
            self.set_key(name, values)
        for slug, addresses in self.engines.items():
            self.set_engines(slug, addresses)
        self.port, self.status_port = free_port(), free_port()
        place = self.place()
        if self.gateways is None:
            write(self.folder / "gateways.json", json.dumps([f"127.0.0.1:{self.status_port}"]))
        for name, text in files(self.plan, place).items():
            (self.folder / "files" / name).write_text(text)
        at = self.folder / "files"
        self._run(
            "nginx", ["sh", str(at / "gateway-run.sh"), str(self.scratch), str(nginx), "-e", "/dev/stderr"]
        )
        self._run("reloader", [sys.executable, str(at / "reloader.py"), str(at / "gateway.json")])
        until(self._answers, "the gateway answers")
        return self

    def _run(self, name: str, command: list[str]) -> None:
        with (self.folder / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self._processes.append(process)

    def _answers(self) -> bool:
        for process, name in zip(self._processes, ("nginx", "reloader"), strict=True):
            assert process.poll() is None, (self.folder / f"{name}.log").read_text()
        # A connection alone says little: `nginx -t` opens the ports for a moment too.
        with contextlib.suppress(OSError, http.client.HTTPException):
            probe = http.client.HTTPConnection("127.0.0.1", self.status_port, timeout=1)
            probe.request("GET", "/healthz")
            return probe.getresponse().status == 200
        return False

    def stop(self) -> None:
        """Ask both to end and wait; streams that are open end first, so a test closes its own."""
        for process in reversed(self._processes):
            process.send_signal(signal.SIGTERM)
        for process in self._processes:
            try:
                process.wait(DEADLINE)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                raise

    def connect(self, timeout: float = DEADLINE) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)

    def ask(
        self,
        path: str,
        body: object = None,
        key: str | None = None,
        headers: Mapping[str, str] | None = None,
        method: str | None = None,
    ) -> Answer:
        """One request on a connection of its own; a body that is no text is sent as JSON."""
        sent = {"Content-Type": "application/json"} | ({} if headers is None else dict(headers))
        if key is not None:
            sent["Authorization"] = f"Bearer {key}"
        text = body if body is None or isinstance(body, str | bytes) else json.dumps(body)
        verb = method if method is not None else ("GET" if body is None else "POST")
        connection = self.connect()
        try:
            connection.request(verb, path, text, sent)
            response = connection.getresponse()
            found = {key.lower(): value for key, value in response.getheaders()}
            return Answer(response.status, found, response.read())
        finally:
            connection.close()

    def log(self) -> list[dict[str, Any]]:
        """The access log so far."""
        path = self.folder / "access.log"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def bounds(self) -> str:
        """What Nginx runs with."""
        return (self.scratch / "nginx.conf").read_text()


def write(path: Path, text: str) -> None:
    """Whole or not at all: whoever reads it may look at any moment."""
    part = path.with_name(f".{path.name}.part")
    part.write_text(text)
    part.replace(path)


@contextlib.contextmanager
def running(stack: GatewayStack) -> Iterator[GatewayStack]:
    """The gateway until the end of the block."""
    try:
        yield stack.start()
    finally:
        stack.stop()
