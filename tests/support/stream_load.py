"""A steady load of streaming clients; every response is checked and counted."""

import http.client
import json
import threading
import time
from dataclasses import dataclass, field
from types import TracebackType

from fake_model_server import CHAT
from polling import DEADLINE

END = b"data: [DONE]\n\n"


@dataclass
class Stream:
    """One streamed response, opened at creation; `engine` is the address that served it."""

    port: int
    key: str
    tokens: int = 10
    gap: float = 0.02
    headers: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.started = time.monotonic()
        self.connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=DEADLINE)
        body = json.dumps({"tokens": self.tokens, "gap": self.gap})
        headers = {"Authorization": f"Bearer {self.key}", **self.headers}
        self.connection.request("POST", CHAT, body, headers)
        self.response = self.connection.getresponse()
        self.status = self.response.status
        self.engine = self.response.getheader("X-Engine")

    def completes(self) -> bool:
        """Read the response to its end; returns whether it is complete."""
        text = self.response.read()
        self.connection.close()
        return self.status == 200 and text.count(b"data: ") == self.tokens + 1 and text.endswith(END)

    def close(self) -> None:
        self.response.close()
        self.connection.close()


class StreamLoad:
    """So many clients; each requests one stream after the other until the block ends."""

    def __init__(self, port: int, key: str, clients: int = 5) -> None:
        self.port, self.key = port, key
        self.served: list[tuple[float, str]] = []  # time of the request, and the engine
        self.errors: list[str] = []
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._client, daemon=True) for _ in range(clients)]

    def __enter__(self) -> "StreamLoad":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(DEADLINE)
            assert not thread.is_alive(), "a client hangs"

    def more(self, count: int) -> list[str]:
        """Wait for so many responses to requests that start after now; returns the engines that served them."""
        now, deadline = time.monotonic(), time.monotonic() + DEADLINE
        while True:
            engines = [engine for started, engine in list(self.served) if started > now]
            if len(engines) >= count:
                return engines
            assert time.monotonic() < deadline, f"{len(engines)} answers; errors: {self.errors[:5]}"
            time.sleep(0.01)

    def _client(self) -> None:
        while not self._over.is_set():
            started = time.monotonic()
            try:
                stream = Stream(self.port, self.key)
                complete = stream.completes()
            except (OSError, http.client.HTTPException) as error:
                self.errors.append(f"{started:.2f}: {error!r}")
                continue
            if complete and stream.engine is not None:
                self.served.append((started, stream.engine))
            else:
                self.errors.append(f"{started:.2f}: {stream.status} of {stream.engine}, cut or refused")
