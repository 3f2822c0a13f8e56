"""Run a plan's gateway, the real Nginx and reloader with the pod's files, and send requests to it."""

import contextlib
import http.client
import json
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from polling import DEADLINE, until
from server_logs import LoggedGateway

from tierup.local.dev.gateway_of_plan import PlanGateway

CHAT = "/v1/chat/completions"
COMPLETIONS = "/v1/completions"


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    text: bytes

    @property
    def json(self) -> dict[str, Any]:
        parsed: dict[str, Any] = json.loads(self.text)
        return parsed

    @property
    def error(self) -> dict[str, Any]:
        """The error, checked to have exactly OpenAI's format."""
        assert self.headers["content-type"] == "application/json", self
        error: dict[str, Any] = self.json["error"]
        assert error.keys() == {"message", "type", "param", "code"}, error
        assert self.json.keys() == {"error"}
        return error


class GatewayStack(LoggedGateway, PlanGateway):
    """The gateway of a plan, with a client."""

    def connect(self, timeout: float = DEADLINE) -> http.client.HTTPConnection:
        if not self.plan.gateway.tls:
            return http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # the test generated the certificate
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        return http.client.HTTPSConnection("127.0.0.1", self.port, timeout=timeout, context=context)

    def ask(
        self,
        path: str,
        body: object = None,
        key: str | None = None,
        headers: Mapping[str, str] | None = None,
        method: str | None = None,
    ) -> Answer:
        """Send one request on its own connection; a body that is not text is sent as JSON."""
        sent = {"Content-Type": "application/json"} | ({} if headers is None else dict(headers))
        if key is not None:
            sent["Authorization"] = f"Bearer {key}"
        text = body if body is None or isinstance(body, str | bytes) else json.dumps(body)
        verb = method if method is not None else ("GET" if body is None else "POST")
        connection = self.connect()
        try:
            connection.request(verb, path, text, sent)
            response = connection.getresponse()
            headers_received = {key.lower(): value for key, value in response.getheaders()}
            return Answer(response.status, headers_received, response.read())
        finally:
            connection.close()

    def log(self) -> list[dict[str, Any]]:
        """The access log so far; Nginx writes a line up to a second after the response."""
        path = self.folder / "access.log"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def log_of(self, answers: int) -> list[dict[str, Any]]:
        """Wait until the access log has so many lines and return it."""
        until(lambda: len(self.log()) >= answers, f"{answers} lines in the log")
        return self.log()

    def logged(self, answer: Answer) -> dict[str, Any]:
        """The log line of one request; there must be exactly one."""
        tag = answer.headers["x-request-id"]

        def lines() -> list[dict[str, Any]]:
            return [line for line in self.log() if line["request_id"] == tag]

        until(lambda: bool(lines()), "a line in the log")
        (line,) = lines()
        return line

    def configuration(self) -> str:
        """The configuration that Nginx uses, once no other is on its way."""
        until(lambda: not self.offer_pending(), "the end of the offer")
        return (self.shared / "nginx.conf").read_text()


@contextlib.contextmanager
def running(stack: GatewayStack) -> Iterator[GatewayStack]:
    """Run the gateway until the end of the block."""
    try:
        stack.start()
        yield stack
    finally:
        stack.end(DEADLINE)
