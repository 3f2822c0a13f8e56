"""Web pages: which origins may call, what a browser asks before, and that it can read errors."""

import contextlib
from collections.abc import Callable, Iterator

import pytest
from fake_backend import FakeBackend
from gateway_stack import CHAT, Answer, GatewayStack, running

from tierup.plan.model import Plan

MODEL, KEY = "qwen2.5-7b", "key-of-web"
PAGE, OTHER = "https://chat.example.com", "https://evil.example.com"
BODY = {"model": MODEL, "messages": [{"role": "user", "content": "hello"}], "max_tokens": 5}
LARGE = BODY | {"user": "x" * 200_000}
ASKS = {
    "Access-Control-Request-Method": "POST",
    "Access-Control-Request-Headers": "authorization,content-type,x-stainless-os",
}


Start = Callable[..., GatewayStack]


@pytest.fixture(scope="module")
def start(
    backend: FakeBackend, make_plan: Callable[..., Plan], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Start]:
    """Starts gateways that allow these origins."""
    stacks: dict[tuple[str, ...], GatewayStack] = {}
    opened = contextlib.ExitStack()

    def started(*origins: str) -> GatewayStack:
        if origins not in stacks:
            settings = {"allowedOrigins": list(origins)} if origins else {}
            plan = make_plan(
                models=[{"id": MODEL, "replicas": 1}],
                gateway={"replicas": 1, "keys": {"web": {}}, **settings},
                secrets=frozenset({"key-web"}),
            )
            engines = {plan.models[0].slug: [backend.address]}
            folder = tmp_path_factory.mktemp("gateway")
            stack = GatewayStack(plan, folder, engines, {"web": [KEY]})
            stacks[origins] = opened.enter_context(running(stack))
        return stacks[origins]

    with opened:
        yield started


def preflight(gateway: GatewayStack, origin: str = PAGE, path: str = CHAT, **asks: str) -> Answer:
    return gateway.ask(path, method="OPTIONS", headers={"Origin": origin} | ASKS | asks)


def allowed(answer: Answer) -> dict[str, str]:
    return {key: value for key, value in answer.headers.items() if key.startswith("access-control-")}


def test_a_browser_of_an_allowed_page_may_send_what_it_asks_for(start: Start, backend: FakeBackend) -> None:
    """It asks without a key."""
    gateway, before = start(PAGE, "app://obsidian.md"), len(backend.received)
    for path in (CHAT, "/v1/messages", "/v1/models", f"/v1/models/{MODEL}", f"{CHAT}?beta=true"):
        answer = preflight(gateway, path=path)
        assert (answer.status, answer.text) == (204, b""), path
        assert allowed(answer) == {
            "access-control-allow-origin": PAGE,
            "access-control-allow-methods": "GET, HEAD, POST",
            "access-control-allow-headers": ASKS["Access-Control-Request-Headers"],
            "access-control-expose-headers": "X-Request-Id, Retry-After",
            "access-control-max-age": "7200",
        }
        assert answer.headers["vary"] == "Origin"
    assert (
        allowed(preflight(gateway, "app://obsidian.md"))["access-control-allow-origin"] == "app://obsidian.md"
    )
    assert len(backend.received) == before


@pytest.mark.parametrize("body", [BODY, LARGE], ids=["small", "200 kB"])
def test_answers_and_errors_can_be_read_by_an_allowed_page_alone(start: Start, body: object) -> None:
    gateway = start(PAGE, "app://obsidian.md")
    readable = {
        "access-control-allow-origin": PAGE,
        "access-control-expose-headers": "X-Request-Id, Retry-After",
    }
    cases = {
        200: gateway.ask(CHAT, body, KEY, {"Origin": PAGE}),
        401: gateway.ask(CHAT, body, None, {"Origin": PAGE}),
        404: gateway.ask("/v1/nothing", body, KEY, {"Origin": PAGE}),
        413: gateway.ask(CHAT, "x" * 2_100_000, KEY, {"Origin": PAGE}),
        400: gateway.ask(CHAT, "{" + "x" * 200_000, KEY, {"Origin": PAGE}),
    }
    for status, answer in cases.items():
        assert answer.status == status
        assert allowed(answer) == readable, status
        assert gateway.ask(CHAT, body, KEY, {"Origin": OTHER}).headers.keys().isdisjoint(readable)
    assert allowed(gateway.ask("/v1/models", None, KEY, {"Origin": PAGE})) == readable
    assert allowed(gateway.ask(CHAT, body, KEY)) == {}, "not a browser"


def test_an_engine_s_error_can_be_read_too(start: Start, backend: FakeBackend) -> None:
    gateway = start(PAGE, "app://obsidian.md")
    for status, expected in ((400, 400), (502, 503), (503, 429)):
        backend.status = status
        try:
            answer = gateway.ask(CHAT, BODY, KEY, {"Origin": PAGE})
        finally:
            backend.status = 200
        assert (answer.status, answer.headers["access-control-allow-origin"]) == (expected, PAGE)


@pytest.mark.parametrize(
    ("origin", "path", "asks"),
    [
        (OTHER, CHAT, {}),
        ("null", CHAT, {}),
        (f"{PAGE}.evil.example", CHAT, {}),
        (PAGE.replace("https", "http"), CHAT, {}),
        (f"{PAGE}:8443", CHAT, {}),
        (PAGE, "/metrics", {}),
        (PAGE, "/v1/embeddings", {}),
        (PAGE, CHAT, {"Access-Control-Request-Method": "DELETE"}),
    ],
    ids=["other", "null", "longer", "http", "port", "closed path", "path of no model", "method"],
)
def test_anything_else_is_not_allowed(start: Start, origin: str, path: str, asks: dict[str, str]) -> None:
    answer = preflight(start(PAGE, "app://obsidian.md"), origin, path, **asks)
    assert answer.status in (401, 404)
    assert "access-control-allow-methods" not in answer.headers


def test_by_default_no_page_may_call(start: Start) -> None:
    """Not even by the engine's own headers."""
    gateway = start()
    assert preflight(gateway).status == 401
    for body in (BODY, LARGE):
        answer = gateway.ask(CHAT, body, KEY, {"Origin": PAGE})
        assert answer.status == 200
        assert allowed(answer) == {}
        assert "vary" not in answer.headers


def test_a_star_allows_every_page(start: Start) -> None:
    gateway = start("*")
    assert allowed(preflight(gateway, OTHER))["access-control-allow-origin"] == "*"
    answer = gateway.ask(CHAT, BODY, KEY, {"Origin": OTHER})
    assert (answer.status, answer.headers["access-control-allow-origin"]) == (200, "*")
