"""Anthropic's own Python client, unchanged: before two real vLLM servers, and its errors before a fake engine."""

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import anthropic
import pytest
from anthropic.types import ToolParam
from fake_backend import FakeBackend
from gateway_stack import GatewayStack
from polling import until

pytestmark = pytest.mark.xdist_group("engines")

MODEL = "qwen2.5-7b"
HELLO: list[Any] = [{"role": "user", "content": "hello"}]
# `strict`: vLLM lets the model write nothing but arguments of this shape, so that random weights can call it, too.
WEATHER = ToolParam(
    name="weather",
    description="The weather of a city.",
    strict=True,
    input_schema={
        "type": "object",
        "properties": {"city": {"type": "string", "enum": ["Rome"]}},
        "required": ["city"],
        "additionalProperties": False,
    },
)


def connect(gateway: GatewayStack, key: str = "key-of-web", retries: int = 0) -> anthropic.Anthropic:
    return anthropic.Anthropic(base_url=gateway.url, api_key=key, max_retries=retries, timeout=120)


@pytest.fixture(scope="module")
def client(served: GatewayStack) -> anthropic.Anthropic:
    return connect(served)


@pytest.fixture(scope="module")
def gateway(backend: FakeBackend, open_gateway: Callable[..., Any]) -> Iterator[GatewayStack]:
    """Before a fake that can refuse; nothing may wait in it, so that Retry-After is one second."""
    with open_gateway([backend.address], queueLength=0) as stack:
        yield stack


def test_a_message_is_answered_and_costs_the_tokens_that_were_counted(client: anthropic.Anthropic) -> None:
    answer = client.messages.create(model=MODEL, max_tokens=5, messages=HELLO)
    assert (answer.type, answer.role, answer.model) == ("message", "assistant", MODEL)
    assert 1 <= answer.usage.output_tokens <= 5
    counted = client.messages.count_tokens(model=MODEL, messages=HELLO)
    assert counted.input_tokens == answer.usage.input_tokens


def test_the_beta_interface_that_claude_code_uses_is_answered(client: anthropic.Anthropic) -> None:
    """It adds `?beta=true` and a header to the same paths."""
    answer = client.beta.messages.create(
        model=MODEL, max_tokens=5, messages=HELLO, betas=["interleaved-thinking-2025-05-14"]
    )
    counted = client.beta.messages.count_tokens(model=MODEL, messages=HELLO)
    assert counted.input_tokens == answer.usage.input_tokens


def test_a_bearer_token_opens_as_the_key_does(served: GatewayStack) -> None:
    client = anthropic.Anthropic(base_url=served.url, auth_token="key-of-web", max_retries=0)
    assert client.messages.create(model=MODEL, max_tokens=1, messages=HELLO).usage.output_tokens == 1


def test_a_stream_brings_its_text_piece_by_piece(client: anthropic.Anthropic) -> None:
    for _ in range(50):  # the model ends by chance, and this API has no way to forbid it
        with client.messages.stream(model=MODEL, max_tokens=200, messages=HELLO) as stream:
            pieces = list(stream.text_stream)
            final = stream.get_final_message()
        if final.usage.output_tokens >= 40:
            break
    assert 40 <= final.usage.output_tokens <= 200
    assert len(pieces) >= 4, "pieces were put together"  # a busy engine puts a few tokens into one
    assert [block.type for block in final.content] == ["text"]
    assert final.content[0].type == "text"
    assert final.content[0].text == "".join(pieces)


def test_a_tool_is_called_and_its_result_goes_back(client: anthropic.Anthropic) -> None:
    asked: list[Any] = [{"role": "user", "content": "What is the weather in Rome?"}]
    called = client.messages.create(
        model=MODEL,
        max_tokens=500,
        messages=asked,
        tools=[WEATHER],
        tool_choice={"type": "tool", "name": "weather"},
    )
    assert called.stop_reason == "tool_use"
    (call,) = (block for block in called.content if block.type == "tool_use")
    assert (call.name, call.input) == ("weather", {"city": "Rome"})
    result = {"type": "tool_result", "tool_use_id": call.id, "content": "sunny, 31 degrees"}
    asked += [
        {"role": "assistant", "content": called.content},
        {"role": "user", "content": [result]},
    ]
    final = client.messages.create(model=MODEL, max_tokens=5, messages=asked, tools=[WEATHER])
    # The tiny model has a token for each letter: the prompt has grown by the result.
    assert final.usage.input_tokens >= called.usage.input_tokens + len("sunny, 31 degrees")


@pytest.mark.parametrize(
    ("request_", "key", "error", "message"),
    [
        ({"model": "claude-opus"}, "key-of-web", anthropic.NotFoundError, "no such model; there are"),
        ({}, "nobody-s", anthropic.AuthenticationError, "no such API key"),
        ({"max_tokens": 8000}, "key-of-web", anthropic.PermissionDeniedError, "this key may not"),
        ({"max_tokens": 0}, "key-of-web", anthropic.BadRequestError, "max_tokens must be"),
        ({"system": "x" * 2_100_000}, "key-of-web", anthropic.ContentTooLargeError, "larger than 2m"),
        ({"extra_body": {"temperature": "hot"}}, "key-of-web", anthropic.BadRequestError, "temperature"),
        ({"system": "x" * 9_000}, "key-of-web", anthropic.BadRequestError, "context length"),
    ],
    ids=["model", "key", "class", "limit", "size", "the engine's", "context"],
)
def test_errors_are_the_client_s_own_classes(
    served: GatewayStack, request_: dict[str, Any], key: str, error: type[Exception], message: str
) -> None:
    body: dict[str, Any] = {"model": MODEL, "max_tokens": 5, "messages": HELLO, **request_}
    with pytest.raises(error, match=message):
        connect(served, key).messages.create(**body)


def test_no_engine_is_the_client_s_server_error(gateway: GatewayStack, backend: FakeBackend) -> None:
    backend.status = 502
    try:
        with pytest.raises(anthropic.InternalServerError, match="overloaded_error"):
            connect(gateway).messages.create(model=MODEL, max_tokens=5, messages=HELLO)
    finally:
        backend.status = 200


def test_a_refused_client_waits_as_long_as_it_is_asked_to_and_is_served(
    gateway: GatewayStack, backend: FakeBackend
) -> None:
    before, began = len(backend.received), time.monotonic()
    backend.status = 503  # the engine's queue is full
    client = connect(gateway, retries=2)
    with pytest.raises(anthropic.RateLimitError) as refused:
        client.with_options(max_retries=0).messages.create(model=MODEL, max_tokens=5, messages=HELLO)
    asked_to_wait = int(refused.value.response.headers["retry-after"])
    served: list[anthropic.types.Message] = []
    waiting = threading.Thread(
        target=lambda: served.append(client.messages.create(model=MODEL, max_tokens=5, messages=HELLO))
    )
    waiting.start()
    until(lambda: len(backend.received) >= before + 2, "the second refusal")
    backend.status = 200
    waiting.join()
    assert served
    assert time.monotonic() - began >= asked_to_wait
