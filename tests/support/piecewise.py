"""A fake engine that sends an answer in given pieces, each in its own packet."""

import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

PAUSE = 0.004  # seconds between two pieces, so that they arrive one by one


@dataclass
class Piecewise:
    """`pieces` is the body of the next answers; `stays` keeps them open after the last piece until it is set."""

    kind: str = "text/event-stream"
    pieces: list[bytes] = field(default_factory=list)
    stays: threading.Event | None = None
    received: list[bytes] = field(default_factory=list)
    _server: ThreadingHTTPServer | None = None

    def start(self) -> "Piecewise":
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    @property
    def address(self) -> str:
        assert self._server is not None
        return f"127.0.0.1:{self._server.server_address[1]}"

    def stop(self) -> None:
        assert self._server is not None
        self._server.shutdown()
        self._server.server_close()


def _handler(fake: Piecewise) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True
        wbufsize = -1

        def log_message(self, *_: Any) -> None:
            pass

        def do_GET(self) -> None:
            self.answer([b"ok"], "text/plain")

        def do_POST(self) -> None:
            fake.received.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.answer(list(fake.pieces), fake.kind, fake.stays)

        def answer(self, pieces: list[bytes], kind: str, stays: threading.Event | None = None) -> None:
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for piece in pieces:
                self.wfile.write(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
                self.wfile.flush()
                time.sleep(PAUSE)
            if stays is not None:
                stays.wait(60)
            self.wfile.write(b"0\r\n\r\n")
            self.wfile.flush()

    return Handler
