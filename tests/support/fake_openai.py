"""A fake OpenAI server for load tests: it streams chat completions with the delays that a test sets.

It is neither an engine nor a gateway. An unknown request gets a 500 and is recorded in `unknown`, which tests check.
"""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, cast

_KNOWN = {"model", "messages", "max_tokens", "stream", "stream_options", "ignore_eos"}
_TEMPLATE_TOKENS = 7


@dataclass
class Manner:
    """The server's behaviour. Delays are in seconds; it refuses more than `capacity` concurrent requests;
    every `fails_every`-th streamed request ends with `failure` (none: 0).
    """

    first: float = 0.05
    gap: float = 0.01
    capacity: int = 1000
    retry_after: str | None = "1"
    tokens_per_word: int = 1
    key: str | None = None
    fails_every: int = 0
    failure: str = "status"


@dataclass
class FakeOpenAI:
    """A running server: its URL and the requests it received."""

    url: str
    manner: Manner
    bodies: list[dict[str, Any]] = field(default_factory=list)
    arrivals: list[float] = field(default_factory=list)
    refused: int = 0
    failed: int = 0
    most_at_once: int = 0
    unknown: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)
    now: int = 0


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def __init__(self, manner: Manner) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.fake = FakeOpenAI(f"http://127.0.0.1:{self.server_address[1]}", manner)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore clients that disconnect."""


@contextmanager
def serve(manner: Manner) -> Iterator[FakeOpenAI]:
    """Run a server until the end of the block."""
    server = _Server(manner)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server.fake
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = 0
    disable_nagle_algorithm = True

    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing, to keep the test's output clean."""

    def do_POST(self) -> None:
        fake = cast("_Server", self.server).fake
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path != "/v1/chat/completions" or not body.keys() <= _KNOWN:
            fake.unknown.append(f"{self.path} {sorted(body)}")
            return self._error(500, "unknown_to_the_fake")
        if fake.manner.key is not None and self.headers["Authorization"] != f"Bearer {fake.manner.key}":
            return self._error(401, "invalid_api_key")
        if not body.get("stream"):
            return self._json(200, {"choices": [], "usage": self._usage(fake, body, 1)})
        with fake.lock:
            fake.bodies.append(body)
            fake.arrivals.append(time.monotonic())
            fake.now += 1
            fake.most_at_once = max(fake.most_at_once, fake.now)
            admitted = fake.now <= fake.manner.capacity
            number = len(fake.bodies)
        try:
            self._streamed(fake, body, admitted, number)
        finally:
            with fake.lock:
                fake.now -= 1

    def _streamed(self, fake: FakeOpenAI, body: dict[str, Any], admitted: bool, number: int) -> None:
        manner = fake.manner
        if not admitted:
            fake.refused += 1
            after = {} if manner.retry_after is None else {"Retry-After": manner.retry_after}
            self._error(429, "queue_full", after)
            return
        fails = bool(manner.fails_every) and number % manner.fails_every == 0
        fake.failed += fails
        if fails and manner.failure == "status":
            self._error(503, "overloaded")
            return
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self._event({"choices": [{"delta": {"role": "assistant", "content": ""}}]})
        time.sleep(manner.first)
        for token in range(body["max_tokens"]):
            if token:
                time.sleep(manner.gap)
            if fails and token == 1:
                self._break_off(manner.failure)
                return
            self._event({"choices": [{"delta": {"content": f" {token}"}}]})
        if body.get("stream_options", {}).get("include_usage"):
            self._event({"choices": [], "usage": self._usage(fake, body, body["max_tokens"])})
        self._chunk(b"data: [DONE]\n\n")
        self._chunk(b"")

    def _break_off(self, failure: str) -> None:
        if failure == "event":
            self._event({"error": {"message": "full", "type": "overloaded", "code": 503}})
            self._chunk(b"")
        elif failure == "cut":
            self.close_connection = True
        else:
            raise ValueError(f"the fake cannot fail by {failure}")

    def _usage(self, fake: FakeOpenAI, body: dict[str, Any], tokens: int) -> dict[str, int]:
        words = sum(len(message["content"].split()) for message in body["messages"])
        prompt = words * fake.manner.tokens_per_word + _TEMPLATE_TOKENS
        return {"prompt_tokens": prompt, "completion_tokens": tokens, "total_tokens": prompt + tokens}

    def _event(self, tree: dict[str, Any]) -> None:
        self._chunk(b"data: " + json.dumps(tree).encode() + b"\n\n")

    def _chunk(self, data: bytes) -> None:
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))

    def _error(self, status: int, code: str, headers: dict[str, str] | None = None) -> None:
        self._json(status, {"error": {"message": code, "type": code, "code": code}}, headers)

    def _json(self, status: int, tree: dict[str, Any], headers: dict[str, str] | None = None) -> None:
        content = json.dumps(tree).encode()
        self.send_response(status)
        for name, value in (headers if headers is not None else {}).items():
            self.send_header(name, value)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)
