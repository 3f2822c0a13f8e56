"""A fake model server: serves health, metrics and generation, and records unknown requests.

It runs in the test's process, which can inspect it, or in a process of its own, which can be killed and stopped.
"""

import http.client
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

GENERATES = {
    f"/v1/{name}"
    for name in (
        *("chat/completions", "completions", "responses", "messages", "messages/count_tokens"),
        *("embeddings", "rerank", "score"),
    )
}
PATIENCE = 60.0


@dataclass
class ReceivedRequest:
    """One request as it arrived."""

    path: str
    headers: dict[str, str]
    text: str

    @property
    def json(self) -> dict[str, Any]:
        parsed: dict[str, Any] = json.loads(self.text)
        return parsed


@dataclass
class FakeBackend:
    """A body with `hold` waits for `release`, one with `delay` for so many seconds; a stream first sends one event.

    A `status` other than 200 is returned at once for every generation.
    """

    name: str
    status: int = 200
    release: threading.Event = field(default_factory=threading.Event)
    held: int = 0
    connections: int = 0
    unknown: list[str] = field(default_factory=list)
    received: list[ReceivedRequest] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)
    _server: ThreadingHTTPServer | None = None

    def start(self, port: int = 0) -> "FakeBackend":
        """Listen on `port`, or on a free port if it is 0."""
        self._server = _Server(("127.0.0.1", port), _handler(self))
        threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
        ).start()
        return self

    @property
    def address(self) -> str:
        assert self._server is not None
        return f"127.0.0.1:{self._server.server_address[1]}"

    def stop(self) -> None:
        """Release all held requests and close the server."""
        self.release.set()
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()

    def count(self, by: int) -> None:
        with self.lock:
            self.held += by


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 512

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(
            sys.exc_info()[1], ConnectionError
        ):  # the client has left, as some tests do on purpose
            super().handle_error(request, client_address)


def _handler(backend: FakeBackend) -> Callable[..., BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = 65_536  # a response is one write, so a killed server has sent all of it or nothing

        def setup(self) -> None:
            with backend.lock:
                backend.connections += 1
            super().setup()

        def log_message(self, format: str, *args: object) -> None:
            pass

        def do_GET(self) -> None:
            if self.path == "/health":
                self.reply(200, {})
            elif self.path == "/metrics":
                self.metrics()
            elif self.path == "/fake/received":
                self.reply(200, {"received": len(backend.received), "unknown": backend.unknown})
            else:
                self.refuse()

        def do_POST(self) -> None:
            text = self.rfile.read(int(self.headers["Content-Length"])).decode()
            if self.path not in GENERATES:
                self.refuse()
                return
            with backend.lock:
                backend.received.append(ReceivedRequest(self.path, dict(self.headers), text))
            body = json.loads(text)
            if backend.status != 200:
                self.reply(backend.status, {"error": {"message": f"made to fail by {backend.name}"}})
            elif body.get("stream"):
                self.stream(body)
            else:
                self.hold(body)
                self.reply(200, {"served_by": backend.name, "bytes": len(text)})

        def refuse(self) -> None:
            with backend.lock:
                backend.unknown.append(f"{self.command} {self.path}")
            self.reply(500, {"error": {"message": "the fake does not know this"}})

        def hold(self, body: dict[str, Any]) -> None:
            backend.count(1)
            try:
                if body.get("hold"):
                    assert backend.release.wait(PATIENCE)
                time.sleep(body.get("delay", 0))  # the time of the response
            finally:
                backend.count(-1)

        def metrics(self) -> None:
            moved = len(backend.received)
            lines = [f"vllm:num_requests_running {backend.held}"]
            lines += [f"vllm:{kind}_tokens_total {moved}" for kind in ("generation", "prompt")]
            body = ("\n".join(lines) + "\n").encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def stream(self, body: dict[str, Any]) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            self.event(b"data: first\n\n")
            self.hold(body)
            self.event(b"data: [DONE]\n\n")
            self.event(b"")

        def event(self, data: bytes) -> None:
            self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
            self.wfile.flush()

        def reply(self, status: int, content: dict[str, Any]) -> None:
            body = json.dumps(content).encode()
            self.send_response(status)
            if self.headers["Origin"] is not None:  # as vLLM does
                self.send_header("Access-Control-Allow-Origin", "*")
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    return Handler


class BackendProcess:
    """A fake backend in its own process; `pid` can be stopped, continued and killed."""

    def __init__(self, port: int = 0) -> None:
        self.process = subprocess.Popen(
            [sys.executable, __file__, str(port)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        self.address = self.process.stdout.readline().strip()
        assert self.address, "the fake did not start"

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def port(self) -> int:
        return int(self.address.rpartition(":")[2])

    def requests(self) -> int:
        """The number of received requests to generate; fails if there were unknown requests."""
        connection = http.client.HTTPConnection(self.address, timeout=PATIENCE)
        connection.request("GET", "/fake/received")
        report = json.loads(connection.getresponse().read())
        connection.close()
        assert report["unknown"] == [], report
        return int(report["received"])

    def used(self) -> bool:
        return self.requests() > 0

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()


if __name__ == "__main__":
    print(FakeBackend("process").start(int(sys.argv[1])).address, flush=True)
    threading.Event().wait()
