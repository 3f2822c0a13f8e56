"""How the gateway handles a request before an engine gets it: its caller, its class, its errors.

Real Nginx and njs; the engines behind it are fakes that record what arrives.
"""

import http.client
import json
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from fake_backend import FakeBackend
from gateway_stack import CHAT, COMPLETIONS, Answer, GatewayStack, running
from polling import until

from tierup.plan.model import Plan

MakePlan = Callable[..., Plan]
BIG, SMALL = "qwen2.5-7b", "qwen2.5-7b-awq"
CALLERS = {
    "web": {"classes": ["chat"]},
    "ops": {"setsPriority": True},
    "batch": {"classes": ["longform"]},
    "slow": {"requestsPerSecond": 0.1},
    "few": {"inFlight": 2},
    "default": {"inFlight": 1},  # a keyword of Nginx
}
WEB, OPS, BATCH = "key-of-web", "key-of-ops", "key-of-batch"
MESSAGES = "/v1/messages"
HELLO: list[dict[str, str]] = [{"role": "user", "content": "hello"}]
LONG = 3000  # requested tokens: a long job
LARGE = 200_000  # bytes: more than the buffer of 128k


@pytest.fixture(scope="module")
def backends() -> Iterator[dict[str, FakeBackend]]:
    """One fake engine for each of two models."""
    found = {slug: FakeBackend(slug).start() for slug in ("qwen2-5-7b", "qwen2-5-7b-awq")}
    yield found
    for backend in found.values():
        backend.stop()
    assert [backend.unknown for backend in found.values()] == [[], []], "a request that no client may send"


@pytest.fixture(scope="module")
def gateway(
    backends: dict[str, FakeBackend], make_plan: MakePlan, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[GatewayStack]:
    """Five callers, two models, a name for both by class and one by weight."""
    plan = make_plan(
        models=[{"id": BIG, "replicas": 1}, {"id": BIG, "precision": "awq", "replicas": 1}],
        gateway={
            "keys": CALLERS,
            "maxBodySize": "2m",
            "queueLength": 0,
            "replicas": 1,
            "aliases": {
                "by-class": {"classes": {"chat": SMALL, "longform": BIG}},
                "by-weight": {"weights": {BIG: 3, SMALL: 1}},
            },
        },
        secrets=frozenset(f"key-{name}" for name in CALLERS),
    )
    engines = {slug: [backend.address] for slug, backend in backends.items()}
    keys = {name: [f"key-of-{name}"] for name in CALLERS}
    with running(GatewayStack(plan, tmp_path_factory.mktemp("gateway"), engines, keys)) as stack:
        yield stack


@pytest.fixture
def arrived(backends: dict[str, FakeBackend]) -> Callable[[], list[Any]]:
    """Requests that the engines received since the start of the test."""
    before = {slug: len(backend.received) for slug, backend in backends.items()}
    return lambda: [item for slug, backend in backends.items() for item in backend.received[before[slug] :]]


def chat(**more: object) -> dict[str, Any]:
    return {"model": BIG, "messages": HELLO, **more}


@pytest.mark.parametrize(
    ("key", "more", "priority"),
    [
        (WEB, {}, -30),
        (OPS, {"max_tokens": 547}, -30),
        (OPS, {"max_tokens": 548}, 30),
        (OPS, {"max_completion_tokens": LONG}, 30),
        (OPS, {"max_tokens": 100, "n": 6}, 30),
        (BATCH, {"max_tokens": 5}, 30),
    ],
    ids=["chat", "just chat", "just long", "other name", "six answers", "a key for long jobs"],
)
def test_a_request_gets_the_priority_of_its_class(
    gateway: GatewayStack, arrived: Callable[[], list[Any]], key: str, more: dict[str, Any], priority: int
) -> None:
    assert gateway.ask(CHAT, chat(**more), key).status == 200
    (received,) = arrived()
    limit = {} if more or key == BATCH else {"max_tokens": 547}
    assert received.json == chat(**more) | limit | {"priority": priority}


@pytest.mark.parametrize("size", [0, LARGE], ids=["small", "200 kB"])
def test_only_a_key_with_permission_sets_its_own_priority(
    gateway: GatewayStack, arrived: Callable[[], list[Any]], size: int
) -> None:
    body = chat(priority=-100, user="x" * size)
    assert gateway.ask(CHAT, body, WEB).status == 200
    assert gateway.ask(CHAT, body, OPS).status == 200
    assert [received.json["priority"] for received in arrived()] == [-30, -100]


def test_a_priority_cannot_be_smuggled_in(gateway: GatewayStack, arrived: Callable[[], list[Any]]) -> None:
    """Ambiguous JSON: the engine uses the last of several equal keys."""
    tricks = [
        '{"priority":-100,"model":"M","messages":[],"priority":-99}',
        r'{"model":"M","messages":[],"prior\u0069ty":-100}',
        '{"model":"M","messages":[],"x":{"priority":-100}}',
        '{"model":"M","messages":[{"role":"user","content":"\\"},\\"priority\\":-100}"}]}   \n ',
    ]
    for trick in tricks:
        assert gateway.ask(CHAT, trick.replace("M", BIG), WEB).status == 200, trick
    assert [received.json["priority"] for received in arrived()] == [-30] * len(tricks)


def test_an_unchanged_body_is_passed_on_byte_by_byte(
    gateway: GatewayStack, arrived: Callable[[], list[Any]]
) -> None:
    text = json.dumps(
        chat(max_tokens=5, seed=12345678901234567890, stop=["Ünïcödé ☃ 𝄞", "\\u0000"]), ensure_ascii=False
    )
    assert gateway.ask(CHAT, text.encode(), WEB).status == 200
    assert gateway.ask(CHAT, text.replace("☃", "☃" * 60_000).encode(), WEB).status == 200
    small, large = arrived()
    assert small.text == text[:-1] + ',"priority":-30}'
    assert large.text == text[:-1].replace("☃", "☃" * 60_000) + ',"priority":-30}'


def test_a_key_without_long_jobs_gets_a_clear_error(
    gateway: GatewayStack, arrived: Callable[[], list[Any]]
) -> None:
    refused = gateway.ask(CHAT, chat(max_tokens=LONG), WEB)
    assert refused.status == 403
    assert "max_tokens" in refused.error["message"]
    assert arrived() == []


def test_models_are_found_by_name(gateway: GatewayStack, backends: dict[str, FakeBackend]) -> None:
    served = {
        name: gateway.ask(CHAT, {"model": name, "messages": HELLO}, OPS).json["served_by"]
        for name in (BIG, SMALL)
    }
    assert served == {BIG: "qwen2-5-7b", SMALL: "qwen2-5-7b-awq"}
    assert (
        gateway.ask(CHAT, {"model": "by-class", "messages": HELLO}, OPS).json["served_by"] == "qwen2-5-7b-awq"
    )
    body = {"model": "by-class", "messages": HELLO, "max_tokens": LONG}
    assert gateway.ask(CHAT, body, OPS).json["served_by"] == "qwen2-5-7b"
    assert backends["qwen2-5-7b"].received[-1].json["model"] == BIG
    listed = gateway.ask("/v1/models", key=OPS).json
    assert [item["id"] for item in listed["data"]] == [BIG, SMALL, "by-class", "by-weight"]
    assert gateway.ask(f"/v1/models/{SMALL}", key=OPS).json["id"] == SMALL
    assert gateway.ask("/v1/models/other", key=OPS).status == 404


def test_a_weighted_name_is_split_by_weight(gateway: GatewayStack, arrived: Callable[[], list[Any]]) -> None:
    """Of 400 requests 300 are expected at the first model; five standard deviations are 43."""
    for _ in range(400):
        assert gateway.ask(CHAT, {"model": "by-weight", "messages": HELLO}, OPS).status == 200
    first = sum(received.json["model"] == BIG for received in arrived())
    assert 257 <= first <= 343


def test_keys_end_at_the_gateway_and_request_ids_go_through(
    gateway: GatewayStack, arrived: Callable[[], list[Any]]
) -> None:
    for size in (0, LARGE):
        answer = gateway.ask(CHAT, chat(user="x" * size), WEB, {"X-Request-Id": f"abc-{size}"})
        assert answer.headers["x-request-id"] == f"abc-{size}"
    for received, size in zip(arrived(), (0, LARGE), strict=True):
        assert received.headers["X-Request-Id"] == f"abc-{size}"
        assert "Authorization" not in received.headers
        assert received.headers["X-Forwarded-For"].split(",")[0] == "127.0.0.1"


def test_the_log_names_caller_class_and_model_and_nothing_private(gateway: GatewayStack) -> None:
    body = {"model": BIG, "messages": [{"role": "user", "content": "words of a user"}], "max_tokens": LONG}
    for size in (0, LARGE):
        answer = gateway.ask(f"{CHAT}?key=in-the-query", body | {"user": "x" * size}, OPS)
        line = gateway.logged(answer)
        named = {key: line[key] for key in ("key", "class", "model", "status", "path", "client")}
        assert named == {
            "key": "ops",
            "class": "longform",
            "model": "qwen2-5-7b",
            "status": "200",
            "path": CHAT,
            "client": "127.0.0.1",
        }
        assert float(line["upstream_first_byte_seconds"]) >= 0
    text = (gateway.folder / "access.log").read_text()
    for private in (WEB, OPS, "words of a user", "in-the-query"):
        assert private not in text


WRONG: dict[str, tuple[int, dict[str, Any]]] = {
    "no key": (401, {"body": chat(), "key": None}),
    "wrong key": (401, {"body": chat(), "key": "nobody-s"}),
    "two words for a key": (401, {"body": chat(), "key": f"{WEB} {OPS}"}),
    "another scheme": (401, {"body": chat(), "key": None, "headers": {"Authorization": f"Basic {WEB}"}}),
    "embeddings of a chat model": (404, {"path": "/v1/embeddings", "body": {"model": BIG, "input": "x"}}),
    "scores of a chat model": (404, {"path": "/v1/score", "body": {"model": BIG}}),
    "rerank by a chat model": (404, {"path": "/v1/rerank", "body": {"model": BIG}}),
    "no JSON": (400, {"body": '{"model": '}),
    "no object": (400, {"body": "[1]"}),
    "null": (400, {"body": "null"}),
    "no body": (400, {"body": ""}),
    "text": (415, {"body": chat(), "headers": {"Content-Type": "text/plain"}}),
    "form": (415, {"body": "a=b", "headers": {"Content-Type": "application/x-www-form-urlencoded"}}),
    "compressed": (415, {"body": chat(), "headers": {"Content-Encoding": "gzip"}}),
    "unknown model": (404, {"body": {"model": "gpt-4", "messages": HELLO}}),
    "a model called constructor": (404, {"body": {"model": "constructor", "messages": HELLO}}),
    "a number for a model": (400, {"body": {"model": 7, "messages": HELLO}}),
    "no model of two": (400, {"body": {"messages": HELLO}}),
    "GET": (405, {"body": None}),
    "HEAD": (405, {"body": None, "method": "HEAD"}),
    "DELETE": (405, {"body": chat(), "method": "DELETE"}),
    "TRACE": (405, {"body": None, "method": "TRACE"}),
    "large and no JSON": (400, {"body": "x" * LARGE}),
    "large and no key": (401, {"body": "x" * LARGE, "key": None}),
    "too large": (413, {"body": "x" * 2_100_000}),
    "engine's metrics": (404, {"path": "/metrics", "body": None}),
    "engine's pause": (404, {"path": "/pause", "body": {}}),
    "tokenize": (404, {"path": "/tokenize", "body": {}}),
    "root": (404, {"path": "/", "body": None}),
    "a longer path": (404, {"path": f"{CHAT}/render", "body": chat()}),
    "traversal": (404, {"path": "/v1/models/../../metrics", "body": None}),
    "traversal to a door": (404, {"path": f"/x/..{CHAT}", "body": chat()}),
    "encoded traversal": (404, {"path": "/v1/%2e%2e/metrics", "body": None}),
    "encoded door": (404, {"path": "/v1/chat/%63ompletions", "body": chat()}),
    "double slash": (404, {"path": f"/{CHAT}", "body": chat()}),
    "headers too long": (431, {"body": chat(), "headers": {"X-Long": "x" * 40_000}}),
    "hidden refusals": (404, {"path": "/-/busy", "body": None}),
    "path too long": (431, {"path": "/" + "x" * 40_000, "body": None}),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_bad_request_gets_a_json_error_and_reaches_no_engine(
    gateway: GatewayStack, arrived: Callable[[], list[Any]], name: str
) -> None:
    status, request = WRONG[name]
    answer = gateway.ask(**{"path": CHAT, "key": OPS} | request)
    assert answer.status == status, answer
    if request.get("method") != "HEAD":
        assert answer.error["code"] == status
    assert answer.headers["x-request-id"]
    assert arrived() == []


def raw(gateway: GatewayStack, text: bytes) -> Answer:
    """Send raw bytes on their own connection and read the complete response."""
    with socket.create_connection(("127.0.0.1", gateway.port), 60) as connection:
        connection.sendall(text)
        response = http.client.HTTPResponse(connection)
        response.begin()
        return Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())


def head(*lines: str, version: str = "1.1") -> bytes:
    fixed = [
        f"POST {CHAT} HTTP/{version}",
        "Host: gateway",
        f"Authorization: Bearer {OPS}",
        "Connection: close",
    ]
    return "\r\n".join([*fixed, "Content-Type: application/json", *lines, "", ""]).encode()


def test_unusual_but_legal_requests_are_served(
    gateway: GatewayStack, arrived: Callable[[], list[Any]]
) -> None:
    body = json.dumps(chat()).encode()
    pieces = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (body[:9], body[9:], b""))
    sized = f"Content-Length: {len(body)}"
    assert raw(gateway, head("Transfer-Encoding: chunked") + pieces).status == 200
    assert raw(gateway, head(sized, version="1.0") + body).status == 200
    assert raw(gateway, head(f"Content-Length: 000{len(body)}") + body).status == 200
    assert [received.json["priority"] for received in arrived()] == [-30] * 3


@pytest.mark.parametrize(
    "lines",
    [
        ["Content-Length: 5", "Content-Length: 6"],
        ["no header at all"],
        ["Content-Length: 5", "Transfer-Encoding: chunked"],
        ["Content-Length: -5"],
        ["Content-Length: five"],
        ["Transfer-Encoding: gzip, chunked"],
        ["Host: other", "Content-Length: 2"],
        ["Authorization: Bearer key-of-web", "Content-Length: 2"],
    ],
    ids=" + ".join,
)
def test_ambiguous_requests_are_refused(
    gateway: GatewayStack, arrived: Callable[[], list[Any]], lines: list[str]
) -> None:
    answer = raw(gateway, head(*lines) + b"{}{}")
    assert answer.status in (400, 501), answer
    assert "error" in json.loads(answer.text)
    assert arrived() == []


def test_a_slow_body_occupies_no_engine(gateway: GatewayStack, arrived: Callable[[], list[Any]]) -> None:
    """A client sends half a body and stops: others are served, and no engine gets the request."""
    for size in (100, LARGE):
        with socket.create_connection(("127.0.0.1", gateway.port), 60) as slow:
            slow.sendall(head(f"Content-Length: {size}") + b'{"model"')
            assert gateway.ask(CHAT, chat(), OPS).status == 200
    assert len(arrived()) == 2


def test_a_caller_s_rate_is_limited(gateway: GatewayStack) -> None:
    """0.1 requests per second, and one more at once: of three in a row the last is refused."""
    answers = [gateway.ask(CHAT, chat(), "key-of-slow") for _ in range(3)]
    assert [answer.status for answer in answers] == [200, 200, 429]
    assert answers[-1].error["type"] == "rate_limit_error"
    assert int(answers[-1].headers["retry-after"]) >= 1
    assert gateway.ask(CHAT, chat(), OPS).status == 200, "another caller has its own"


@pytest.mark.parametrize(("caller", "places"), [("few", 2), ("default", 1)])
def test_a_caller_cannot_use_every_slot(
    gateway: GatewayStack, backends: dict[str, FakeBackend], caller: str, places: int
) -> None:
    backend, answers = backends["qwen2-5-7b"], list[int]()
    backend.release.clear()
    threads = [
        threading.Thread(
            target=lambda: answers.append(gateway.ask(CHAT, chat(hold=True), f"key-of-{caller}").status)
        )
        for _ in range(places)
    ]
    for thread in threads:
        thread.start()
    try:
        until(lambda: backend.held == places, "all in flight")
        refused = gateway.ask(CHAT, chat(), f"key-of-{caller}")
        assert refused.status == 429
        assert gateway.ask(CHAT, chat(), OPS).status == 200
    finally:
        backend.release.set()
        for thread in threads:
            thread.join()
    assert answers == [200] * places
    until(lambda: gateway.ask(CHAT, chat(), f"key-of-{caller}").status == 200, "a place is free again")


@pytest.mark.parametrize("path", [COMPLETIONS, "/v1/responses", MESSAGES, f"{MESSAGES}/count_tokens"])
def test_every_endpoint_reaches_its_own_path(
    gateway: GatewayStack, arrived: Callable[[], list[Any]], path: str
) -> None:
    body = {"model": BIG, "input": "x", "prompt": "x", "messages": HELLO, "max_tokens": 5}
    assert gateway.ask(f"{path}?beta=true", body, OPS).status == 200
    (received,) = arrived()
    assert received.path == path


def test_a_closed_path_is_named_with_the_open_ones(gateway: GatewayStack) -> None:
    message = gateway.ask("/v1/embeddings", {"model": BIG, "input": "x"}, OPS).error["message"]
    assert message.startswith("no model here serves /v1/embeddings; there are /v1/chat/completions, ")
    assert gateway.ask("/v1/nothing", {}, OPS).error["message"].startswith("no such path; there are ")


def test_many_prompts_at_once_are_a_long_job(gateway: GatewayStack, arrived: Callable[[], list[Any]]) -> None:
    body = {"model": BIG, "prompt": ["one", "two", "three"], "max_tokens": 200}
    assert gateway.ask(COMPLETIONS, body, WEB).status == 403
    assert gateway.ask(COMPLETIONS, body | {"prompt": [1, 2, 3]}, WEB).status == 200, "one prompt in tokens"
    assert [received.json["priority"] for received in arrived()] == [-30]


def test_probes_and_counters_have_a_port_of_their_own(gateway: GatewayStack) -> None:
    statuses = {}
    for path in ("/healthz", "/stub_status", CHAT):
        connection = http.client.HTTPConnection("127.0.0.1", gateway.status_port, timeout=60)
        connection.request("GET", path)
        statuses[path] = connection.getresponse().status
        connection.close()
    assert statuses == {"/healthz": 200, "/stub_status": 200, CHAT: 404}
    assert gateway.ask("/health").json == {"status": "ok"}
