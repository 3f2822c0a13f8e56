"""A fake model server in its own process: streams generated tokens, counts them as vLLM does, stalls on request.

It serves /health, /metrics, /v1/chat/completions and, for tests, /fake/...; any other path gets a 500 and is recorded.
"""

import contextlib
import http.client
import json
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

CHAT = "/v1/chat/completions"
START_SECONDS = 60
METRICS = """# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{{engine="0",model_name="fake"}} {running}.0
# TYPE vllm:generation_tokens_total counter
vllm:generation_tokens_total{{engine="0",model_name="fake"}} {generated}.0
# TYPE vllm:prompt_tokens_total counter
vllm:prompt_tokens_total{{engine="0",model_name="fake"}} {prompted}.0
"""


class FakeModelServer:
    """One fake engine in its own process; `pid` can be stopped, continued and killed."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        self.address = self.process.stdout.readline().strip()
        assert self.address, "the fake engine did not start"

    @property
    def pid(self) -> int:
        return self.process.pid

    def control(self, action: str) -> dict[str, Any]:
        """`stall` or `resume` its streams, or `report` the number of requests and the unknown ones."""
        connection = http.client.HTTPConnection(self.address, timeout=START_SECONDS)
        connection.request("GET", f"/fake/{action}")
        body: dict[str, Any] = json.loads(connection.getresponse().read())
        connection.close()
        return body

    def started_streams(self) -> int:
        """The number of started streams."""
        return int(self.control("report")["prompted"])

    def end(self) -> None:
        self.process.kill()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()


class _State:
    lock = threading.Lock()
    moving = threading.Event()
    running = generated = prompted = probed = 0
    unknown: list[str]
    address: str


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        with _State.lock:
            _State.probed += self.path == "/health"
            counts = {name: getattr(_State, name) for name in ("running", "generated", "prompted", "probed")}
        if self.path == "/fake/stall":
            _State.moving.clear()
        if self.path == "/fake/resume":
            _State.moving.set()
        if self.path == "/metrics":
            self.reply(200, METRICS.format(**counts))
        elif self.path in ("/health", "/fake/stall", "/fake/resume", "/fake/report"):
            self.reply(200, json.dumps({**counts, "unknown": _State.unknown}))
        else:
            self.refuse()

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path != CHAT or body.keys() != {"tokens", "gap"}:
            self.refuse()
            return
        with _State.lock:
            _State.running += 1
        try:
            _State.moving.wait()
            with _State.lock:
                _State.prompted += 1
            self.stream(body["tokens"], body["gap"])
        finally:
            with _State.lock:
                _State.running -= 1

    def stream(self, tokens: int, gap: float) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("X-Engine", _State.address)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for number in range(tokens):
            self.chunk(f"data: {number}\n\n")
            with _State.lock:
                _State.generated += 1
            time.sleep(gap)  # a token's time
            _State.moving.wait()
        self.chunk("data: [DONE]\n\n")
        self.wfile.write(b"0\r\n\r\n")

    def chunk(self, text: str) -> None:
        self.wfile.write(f"{len(text):x}\r\n{text}\r\n".encode())

    def refuse(self) -> None:
        _State.unknown.append(self.path)
        self.close_connection = True
        self.reply(500, json.dumps({"unknown": self.path}))

    def reply(self, status: int, text: str) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def handle(self) -> None:
        with contextlib.suppress(ConnectionError):  # the client left
            super().handle()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


def _main() -> None:
    _State.unknown = []
    _State.moving.set()
    server = _Server(("127.0.0.1", 0), _Handler)
    _State.address = f"127.0.0.1:{server.server_address[1]}"
    print(_State.address, flush=True)
    server.serve_forever()


if __name__ == "__main__":
    _main()
