"""A fake model server: answers health, metrics and generation, and counts what it does not know."""

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

GENERATES = ("/v1/chat/completions", "/v1/completions", "/v1/responses", "/v1/embeddings")
PATIENCE = 60.0


@dataclass
class Seen:
    """One request as it arrived."""

    path: str
    headers: dict[str, str]
    text: str

    @property
    def said(self) -> dict[str, Any]:
        parsed: dict[str, Any] = json.loads(self.text)
        return parsed


@dataclass
class FakeBackend:
    """`hold` in a body waits for `release`; a stream sends one event, waits for `release` if it shall hold, and ends.

    `status` other than 200 is given to every generation, at once.
    """

    name: str
    status: int = 200
    release: threading.Event = field(default_factory=threading.Event)
    held: int = 0
    connections: int = 0
    unknown: list[str] = field(default_factory=list)
    seen: list[Seen] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)
    _server: ThreadingHTTPServer | None = None

    def start(self, port: int = 0) -> "FakeBackend":
        """Listen; `port` 0 takes a free one."""
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
        """Let go of everybody and close."""
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


def _handler(backend: FakeBackend) -> Callable[..., BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

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
            else:
                self.refuse()

        def do_POST(self) -> None:
            text = self.rfile.read(int(self.headers["Content-Length"])).decode()
            if self.path not in GENERATES:
                self.refuse()
                return
            with backend.lock:
                backend.seen.append(Seen(self.path, dict(self.headers), text))
            said = json.loads(text)
            if backend.status != 200:
                self.reply(backend.status, {"error": {"message": f"made to fail by {backend.name}"}})
            elif said.get("stream"):
                self.stream(bool(said.get("hold")))
            else:
                self.hold(bool(said.get("hold")))
                self.reply(200, {"served_by": backend.name, "bytes": len(text)})

        def refuse(self) -> None:
            with backend.lock:
                backend.unknown.append(f"{self.command} {self.path}")
            self.reply(500, {"error": {"message": "the fake does not know this"}})

        def hold(self, wanted: bool) -> None:
            backend.count(1)
            try:
                if wanted:
                    assert backend.release.wait(PATIENCE)
            finally:
                backend.count(-1)

        def metrics(self) -> None:
            moved = len(backend.seen)
            lines = [f"vllm:num_requests_running {backend.held}"]
            lines += [f"vllm:{kind}_tokens_total {moved}" for kind in ("generation", "prompt")]
            body = ("\n".join(lines) + "\n").encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def stream(self, wanted: bool) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            self.event(b"data: first\n\n")
            self.hold(wanted)
            self.event(b"data: [DONE]\n\n")
            self.event(b"")

        def event(self, data: bytes) -> None:
            self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
            self.wfile.flush()

        def reply(self, status: int, said: dict[str, Any]) -> None:
            body = json.dumps(said).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    return Handler
