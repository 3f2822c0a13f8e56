"""The gateway's configuration as the real Nginx takes it, and what that Nginx then does to requests.

The backend is a small fake that fails on what it does not know; the gateway in front of it is under test.
"""

import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tierup.local.toolchain import ToolMissing, tool
from tierup.manifests.gateway import in_flight_limit, nginx_conf, retry_after_seconds
from tierup.plan import Plan

MakePlan = Callable[..., Plan]
DEADLINE = 60.0  # of what takes milliseconds on an idle machine
ONE = [{"id": "qwen2.5-7b", "replicas": 1}]
TWO = [*ONE, {"id": "qwen2.5-7b", "precision": "awq", "replicas": 1}]
CHAT = "/v1/chat/completions"


def find_nginx() -> str:
    try:
        return str(tool("nginx"))
    except ToolMissing as missing:
        found = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
        if found is None:
            pytest.skip(f"NOT PROVEN, there is no nginx: run `make toolchain` ({missing})")
        return found


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def until(condition: Callable[[], bool], what: str) -> None:
    """Poll; a test never waits for a fixed time."""
    deadline = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < deadline, f"{what}: not within {DEADLINE} s"
        time.sleep(0.01)


@dataclass
class Backend:
    """A fake model server; `held` requests wait until `release` is set, streams after their first bytes."""

    name: str
    release: threading.Event = field(default_factory=threading.Event)
    held: int = 0
    connections: int = 0
    unknown: list[str] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def start(self) -> ThreadingHTTPServer:
        backend = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self) -> None:
                with backend.lock:
                    backend.connections += 1
                super().setup()

            def log_message(self, format: str, *args: object) -> None:
                pass

            def do_GET(self) -> None:
                backend.headers.append(dict(self.headers))
                if self.path != "/v1/models":
                    backend.unknown.append(self.path)
                    self.reply(500, {})
                    return
                self.reply(200, {"data": [{"id": backend.name}]})

            def do_POST(self) -> None:
                backend.headers.append(dict(self.headers))
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.path.split("?")[0] != CHAT:
                    backend.unknown.append(self.path)
                    self.reply(500, {})
                    return
                said = json.loads(body)
                if said.get("stream"):
                    self.stream()
                    return
                if said.get("hold"):
                    self.hold()
                self.reply(200, {"served_by": backend.name, "bytes": len(body)})

            def hold(self) -> None:
                with backend.lock:
                    backend.held += 1
                assert backend.release.wait(DEADLINE)
                with backend.lock:
                    backend.held -= 1

            def stream(self) -> None:
                self.send_response(200)
                self.send_header("Content-Type", "text/event-stream")
                self.send_header("Transfer-Encoding", "chunked")
                self.end_headers()
                self.wfile.write(b"e\r\ndata: first\n\n\n\r\n")
                self.wfile.flush()
                self.hold()
                self.wfile.write(b"d\r\ndata: last\n\n\n\r\n0\r\n\r\n")

            def reply(self, status: int, said: dict[str, Any]) -> None:
                body = json.dumps(said).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return server


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    text: bytes

    @property
    def said(self) -> dict[str, Any]:
        parsed: dict[str, Any] = json.loads(self.text)
        return parsed


@dataclass
class Running:
    """A running gateway with one backend per model."""

    port: int
    status_port: int
    plan: Plan
    backends: list[Backend]
    log: Path

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=DEADLINE)

    def ask(
        self,
        path: str,
        body: dict[str, Any] | None = None,
        headers: dict[str, str] | None = None,
        connection: http.client.HTTPConnection | None = None,
    ) -> Answer:
        used = connection if connection is not None else self.connect()
        sent = {"Content-Type": "application/json", **(headers if headers is not None else {})}
        text = None if body is None else json.dumps(body)
        used.request("GET" if body is None else "POST", path, text, sent)
        response = used.getresponse()
        answer = Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())
        if connection is None:
            used.close()
        return answer


def start_gateway(
    plan: Plan, folder: Path, endpoints: dict[str, list[str]]
) -> tuple[subprocess.Popen[bytes], int, int]:
    """Nginx in the foreground on free ports; a port that another process took meanwhile is chosen anew."""
    for _ in range(3):
        port, status_port = free_port(), free_port()
        config = folder / "nginx.conf"
        config.write_text(
            nginx_conf(
                plan,
                resolve=False,
                endpoints=endpoints,
                listen=f"127.0.0.1:{port}",
                status_listen=f"127.0.0.1:{status_port}",
                scratch=str(folder),
                access_log=str(folder / "access.log"),
            )
        )
        with (folder / "error.log").open("ab") as errors:
            process = subprocess.Popen([find_nginx(), *arguments(config)], stdout=errors, stderr=errors)
        deadline = time.monotonic() + DEADLINE
        while process.poll() is None and time.monotonic() < deadline:
            try:
                with socket.create_connection(("127.0.0.1", status_port), timeout=1):
                    return process, port, status_port
            except OSError:
                time.sleep(0.01)
        process.kill()
        process.wait()
    raise AssertionError((folder / "error.log").read_text())


def arguments(config: Path) -> list[str]:
    """As root, Nginx would become a user that cannot enter the test's folder; in the pod it never is root."""
    user = " user root;" if os.geteuid() == 0 else ""
    return ["-e", "/dev/stderr", "-c", str(config), "-g", f"daemon off;{user}"]


@pytest.fixture
def gateway(make_plan: MakePlan, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Running]:
    """A gateway over fake backends; the test's parameter is its list of models."""
    find_nginx()
    plan = make_plan(
        workload={"users": 2},
        models=getattr(request, "param", ONE),
        gateway={"queueLength": 0, "replicas": 2, "maxBodySize": "1m"},
    )
    backends = [Backend(model.slug) for model in plan.models]
    servers = [backend.start() for backend in backends]
    endpoints = {
        backend.name: [f"127.0.0.1:{server.server_address[1]}"]
        for backend, server in zip(backends, servers, strict=True)
    }
    process, port, status_port = start_gateway(plan, tmp_path, endpoints)
    try:
        yield Running(port, status_port, plan, backends, tmp_path / "access.log")
    finally:
        for backend in backends:
            backend.release.set()
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=DEADLINE)
        for server in servers:
            server.shutdown()
            server.server_close()
    assert [backend.unknown for backend in backends] == [[] for _ in backends]


@pytest.mark.parametrize(
    "sections",
    [{}, {"models": TWO}, {"gateway": {"queueLength": 100_000, "replicas": 1, "keepaliveTimeoutSeconds": 5}}],
    ids=["one model", "two models", "long queue"],
)
@pytest.mark.parametrize("resolve", [False, True], ids=["addresses", "deployed form"])
def test_nginx_accepts_the_configuration(
    make_plan: MakePlan, tmp_path: Path, sections: dict[str, Any], resolve: bool
) -> None:
    plan, nginx = make_plan(**sections), find_nginx()
    version = subprocess.run([nginx, "-v"], capture_output=True, text=True, check=True).stderr
    numbers = tuple(int(part) for part in re.findall(r"\d+", version.split("nginx/")[1])[:3])
    if resolve and numbers < (1, 27, 3):
        pytest.skip(
            f"NOT PROVEN, `resolve` in an upstream needs nginx 1.27.3 or later; this is {version.strip()}"
        )
    endpoints = None if resolve else {model.slug: ["127.0.0.1:9", "127.0.0.1:10"] for model in plan.models}
    text = nginx_conf(
        plan, resolve=resolve, resolver="127.0.0.1 valid=5s", endpoints=endpoints, scratch=str(tmp_path)
    )
    config = tmp_path / "nginx.conf"
    config.write_text(text)
    checked = subprocess.run([nginx, "-t", *arguments(config)], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stderr
    assert not re.search(r"\[(emerg|alert|crit|error)\]", checked.stderr), checked.stderr


@pytest.mark.parametrize(
    "path", ["/metrics", "/pause", "/tokenize", "/", "/v1", "/v1/chat/completions/../../x", "/docs"]
)
def test_only_the_clients_paths_exist(gateway: Running, path: str) -> None:
    answer = gateway.ask(path)
    assert answer.status == 404
    assert answer.headers["content-type"] == "application/json"
    assert answer.said["error"]["type"] == "invalid_request_error"
    assert gateway.backends[0].headers == []


def test_the_status_port_answers_probes_and_metrics_only(gateway: Running) -> None:
    status = http.client.HTTPConnection("127.0.0.1", gateway.status_port, timeout=DEADLINE)
    seen = {}
    for path in ("/healthz", "/stub_status", CHAT):
        status.request("GET", path)
        response = status.getresponse()
        seen[path] = response.status
        response.read()
    status.close()
    assert seen == {"/healthz": 200, "/stub_status": 200, CHAT: 404}
    assert gateway.ask("/healthz").said == {"status": "ok"}


def test_the_first_token_arrives_before_the_answer_is_finished(gateway: Running) -> None:
    connection = gateway.connect()
    connection.request("POST", CHAT, json.dumps({"stream": True}), {"Content-Type": "application/json"})
    response = connection.getresponse()
    assert response.readline() == b"data: first\n"
    until(lambda: gateway.backends[0].held == 1, "the backend waits before its last token")
    gateway.backends[0].release.set()
    assert b"data: last" in response.read()
    connection.close()


def test_requests_beyond_the_bound_are_refused_with_retry_after(gateway: Running) -> None:
    backend, limit = gateway.backends[0], in_flight_limit(gateway.plan, gateway.plan.models[0])
    answers: list[Answer] = []

    def hold() -> None:
        answers.append(gateway.ask(CHAT, {"hold": True}))

    threads = [threading.Thread(target=hold) for _ in range(limit)]
    for thread in threads:
        thread.start()
    until(lambda: backend.held == limit, f"{limit} requests in flight")
    refused = gateway.ask(CHAT, {"messages": []})
    assert refused.status == 429
    assert refused.headers["retry-after"] == str(retry_after_seconds(gateway.plan))
    assert refused.said["error"]["type"] == "rate_limit_error"
    assert gateway.ask("/v1/models").status == 200, "the list of models takes no slot"
    assert backend.held == limit, "a refused request reached the backend"
    backend.release.set()
    for thread in threads:
        thread.join(DEADLINE)
    assert [answer.status for answer in answers] == [200] * limit
    until(lambda: gateway.ask(CHAT, {"messages": []}).status == 200, "a free place")


def test_bodies_larger_than_the_buffer_pass_whole_up_to_the_bound(gateway: Running) -> None:
    body = {"prompt": "x" * 300_000}
    answer = gateway.ask(CHAT, body)
    assert (answer.status, answer.said["bytes"]) == (200, len(json.dumps(body)))


def test_bodies_beyond_the_bound_are_refused(gateway: Running) -> None:
    announced = {"Content-Length": str(2 * 1024 * 1024), "Content-Type": "application/json"}
    connection = gateway.connect()
    connection.request("POST", CHAT, b"", announced)
    response = connection.getresponse()
    assert response.status == 413
    assert json.loads(response.read())["error"]["type"] == "invalid_request_error"
    connection.close()
    assert gateway.backends[0].headers == []


def test_connections_are_kept_on_both_sides(gateway: Running) -> None:
    connection = gateway.connect()
    for _ in range(20):
        answer = gateway.ask(CHAT, {"messages": []}, connection=connection)
        assert answer.status == 200
        assert answer.headers["connection"] == "keep-alive"
    assert connection.sock is not None, "the gateway closed the client's connection"
    connection.close()
    # One client connection is one worker's, and that worker keeps its connection to the backend.
    assert gateway.backends[0].connections == 1


def test_a_request_keeps_its_id_and_a_harmful_one_is_replaced(gateway: Running) -> None:
    kept = gateway.ask(CHAT, {"messages": []}, {"X-Request-Id": "abc-123"})
    assert kept.headers["x-request-id"] == "abc-123"
    assert gateway.backends[0].headers[-1]["X-Request-Id"] == "abc-123"
    replaced = gateway.ask("/nowhere", headers={"X-Request-Id": 'a" b'})
    assert re.fullmatch(r"[0-9a-f]{32}", replaced.headers["x-request-id"])


def test_the_log_is_json_without_prompts_and_keys(gateway: Running) -> None:
    secret = {"Authorization": "Bearer key-of-a-user"}
    gateway.ask(f"{CHAT}?key=in-the-query", {"messages": ["words of a user"]}, secret)
    until(lambda: gateway.log.exists() and gateway.log.read_text().endswith("\n"), "a line in the log")
    text = gateway.log.read_text()
    (line,) = [json.loads(line) for line in text.splitlines()]
    assert (line["path"], line["status"], line["model"]) == (CHAT, "200", gateway.plan.models[0].slug)
    for private in ("key-of-a-user", "words of a user", "in-the-query"):
        assert private not in text


@pytest.mark.parametrize("gateway", [TWO], indirect=True)
def test_several_models_are_told_apart_by_prefix_and_the_first_is_the_default(gateway: Running) -> None:
    first, second = (backend.name for backend in gateway.backends)
    served = {
        path: gateway.ask(path, {"messages": []}).said["served_by"]
        for path in (CHAT, f"/{first}{CHAT}", f"/{second}{CHAT}")
    }
    assert served == {CHAT: first, f"/{first}{CHAT}": first, f"/{second}{CHAT}": second}
    assert gateway.ask("/v1/models").said["data"] == [{"id": first}]
    assert gateway.ask(f"/{second}/v1/models").said["data"] == [{"id": second}]
    assert gateway.ask(f"/other{CHAT}", {}).status == 404


def test_without_a_model_server_the_answer_says_when_to_come_back(
    make_plan: MakePlan, tmp_path: Path
) -> None:
    plan = make_plan()
    process, port, status_port = start_gateway(
        plan, tmp_path, {plan.models[0].slug: [f"127.0.0.1:{free_port()}"]}
    )
    try:
        answer = Running(port, status_port, plan, [], tmp_path / "access.log").ask(CHAT, {"messages": []})
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=DEADLINE)
    assert answer.status == 503
    assert answer.headers["retry-after"] == "5"
    assert answer.said["error"]["type"] == "server_error"


def test_sigquit_lets_a_stream_end(make_plan: MakePlan, tmp_path: Path) -> None:
    plan, backend = make_plan(), Backend("model")
    server = backend.start()
    endpoints = {plan.models[0].slug: [f"127.0.0.1:{server.server_address[1]}"]}
    process, port, status_port = start_gateway(plan, tmp_path, endpoints)
    try:
        connection = Running(port, status_port, plan, [backend], tmp_path / "access.log").connect()
        connection.request("POST", CHAT, json.dumps({"stream": True}), {"Content-Type": "application/json"})
        response = connection.getresponse()
        assert response.readline() == b"data: first\n"
        process.send_signal(signal.SIGQUIT)  # as the kubelet sends it: the image's stop signal
        until(lambda: not accepts(port), "the gateway takes no new connections")
        assert process.poll() is None
        backend.release.set()
        assert b"data: last" in response.read()
        assert process.wait(timeout=DEADLINE) == 0
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        server.shutdown()
        server.server_close()


def accepts(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
    except OSError:
        return False
