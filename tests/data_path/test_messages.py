"""Anthropic's Messages API, as Claude Code uses it: its key, its classes, the shape of its errors."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from fake_backend import FakeBackend
from gateway_stack import Answer, GatewayStack

pytestmark = pytest.mark.xdist_group("engines")

MODEL, MESSAGES, COUNT = "qwen2.5-7b", "/v1/messages", "/v1/messages/count_tokens"
HELLO = [{"role": "user", "content": "hello"}]
ANTHROPIC = {"anthropic-version": "2023-06-01"}
LARGE = 200_000


@pytest.fixture(scope="module")
def gateway(backend: FakeBackend, open_gateway: Callable[..., Any]) -> Iterator[GatewayStack]:
    with open_gateway([backend.address]) as stack:
        yield stack


def message(**more: object) -> dict[str, object]:
    return {"model": MODEL, "max_tokens": 100, "messages": HELLO, **more}


def post(gateway: GatewayStack, body: object, key: str | None = "key-of-web", path: str = MESSAGES) -> Answer:
    return gateway.ask(path, body, headers=ANTHROPIC | ({} if key is None else {"X-Api-Key": key}))


def error(answer: Answer) -> tuple[int, str, str]:
    """Status, type and message of an error that has exactly Anthropic's shape."""
    assert answer.headers["content-type"] == "application/json"
    assert answer.json.keys() == {"type", "error", "request_id"}
    assert answer.json["type"] == "error"
    assert answer.json["request_id"] == answer.headers["x-request-id"]
    assert answer.json["error"].keys() == {"type", "message"}
    return answer.status, answer.json["error"]["type"], answer.json["error"]["message"]


@pytest.mark.parametrize("size", [0, LARGE], ids=["small", "200 kB"])
def test_the_key_of_anthropic_s_clients_opens_and_goes_no_further(
    gateway: GatewayStack, backend: FakeBackend, size: int
) -> None:
    answer = post(gateway, message(system="x" * size))
    assert answer.status == 200
    received = backend.received[-1]
    assert received.json == message(system="x" * size) | {"priority": -30}
    assert {name.lower() for name in received.headers}.isdisjoint({"x-api-key", "authorization"})
    assert received.headers["anthropic-version"] == "2023-06-01"
    line = gateway.logged(answer)
    assert (line["key"], line["class"], line["path"]) == ("web", "chat", MESSAGES)
    assert post(gateway, message(), None).status == 401
    assert gateway.ask(MESSAGES, message(), "key-of-web").status == 200, "the usual way opens, too"


def test_its_limit_gives_the_class(gateway: GatewayStack, backend: FakeBackend) -> None:
    assert post(gateway, message(max_tokens=8000), "key-of-ops").status == 200
    assert backend.received[-1].json["priority"] == 30
    assert post(gateway, message(max_tokens=547)).status == 200
    before = len(backend.received)
    too_much: tuple[object, ...] = (8000, "8000", 8000.0)
    for wrong in too_much:
        assert error(post(gateway, message(max_tokens=wrong)))[:2] == (403, "permission_error")
    no_number: tuple[object, ...] = (None, 0, -1, "many", True)
    for wrong in no_number:
        assert error(post(gateway, message(max_tokens=wrong))) == (
            400,
            "invalid_request_error",
            "max_tokens must be a positive whole number",
        )
    assert error(post(gateway, {"model": MODEL, "messages": HELLO}))[:2] == (400, "invalid_request_error")
    assert len(backend.received) == before


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        ({"body": message(), "key": None}, (401, "authentication_error")),
        ({"body": message(), "key": "nobody-s"}, (401, "authentication_error")),
        ({"body": message(model="gpt-4")}, (404, "not_found_error")),
        ({"body": "{"}, (400, "invalid_request_error")),
        ({"body": None}, (405, "invalid_request_error")),
        ({"body": "x" * 2_100_000}, (413, "request_too_large")),
        ({"body": "x" * LARGE, "key": None}, (401, "authentication_error")),
        ({"body": "x" * LARGE}, (400, "invalid_request_error")),
    ],
    ids=["no key", "wrong key", "no such model", "no JSON", "GET", "too large", "large, no key", "large"],
)
def test_errors_have_the_shape_of_its_api(
    gateway: GatewayStack, request_: dict[str, Any], expected: tuple[int, str]
) -> None:
    assert error(post(gateway, **request_))[:2] == expected
    assert error(post(gateway, **request_, path=COUNT))[:2] == expected


def test_an_overloaded_or_silent_engine_is_said_in_its_shape(
    gateway: GatewayStack, backend: FakeBackend
) -> None:
    try:
        backend.status = 503
        answer = post(gateway, message())
        assert error(answer)[:2] == (429, "rate_limit_error")
        assert int(answer.headers["retry-after"]) >= 1
        assert f"{answer.headers['retry-after']} s" in error(answer)[2]
        backend.status = 502
        assert error(post(gateway, message()))[:2] == (503, "overloaded_error")
    finally:
        backend.status = 200


def test_vllm_answers_a_message_and_counts_its_tokens(served: GatewayStack) -> None:
    answer = post(served, message(max_tokens=5))
    assert answer.status == 200, answer
    assert (answer.json["type"], answer.json["role"], answer.json["model"]) == ("message", "assistant", MODEL)
    assert 1 <= answer.json["usage"]["output_tokens"] <= 5
    counted = post(served, {"model": MODEL, "messages": HELLO}, path=COUNT)
    assert counted.json["input_tokens"] == answer.json["usage"]["input_tokens"]


def test_vllm_streams_a_message(served: GatewayStack) -> None:
    answer = post(served, message(max_tokens=5, stream=True))
    events = [
        line.removeprefix("event: ")
        for line in answer.text.decode().splitlines()
        if line.startswith("event: ")
    ]
    assert (events[0], events[-1]) == ("message_start", "message_stop")
    assert "content_block_delta" in events


def test_vllm_s_own_errors_have_the_same_shape(served: GatewayStack) -> None:
    answer = post(served, message(temperature="hot"))
    assert answer.status == 400
    body = json.loads(answer.text)
    assert body["error"].keys() >= {"type", "message"}, body
