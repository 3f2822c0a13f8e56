"""Tokens that the gateway counts: answers in every split, streams that stay as they are, budgets that hold."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from gateway_stack import CHAT, COMPLETIONS, Answer, GatewayStack, running
from piecewise import Piecewise
from polling import until
from small_nginx import find_nginx

from tierup.plan.model import Plan

MODEL = "qwen2.5-7b"
MESSAGES, RESPONSES = "/v1/messages", "/v1/responses"
HELLO = [{"role": "user", "content": "hello"}]
MINUTE, DAY = 1000, 1500

Counted = tuple[int, int, int, str]


@pytest.fixture(scope="module")
def engine() -> Iterator[Piecewise]:
    find_nginx()
    engine = Piecewise().start()
    yield engine
    engine.stop()


@pytest.fixture(scope="module")
def gateway(
    engine: Piecewise, make_tier: Callable[..., Plan], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[GatewayStack]:
    names = ("web", "minute", "day", "twice")
    keys: dict[str, object] = {
        "web": {},
        "minute": {"tokensPerMinute": MINUTE},
        "day": {"tokensPerDay": DAY},
        "twice": {"tokensPerMinute": MINUTE, "tokensPerDay": DAY},
    }
    secrets = frozenset(f"key-{name}" for name in names)
    plan = make_tier(gateway={"meterTokens": True, "keys": keys}, secrets=secrets)
    folder: Path = tmp_path_factory.mktemp("meter") / "gateway"
    values = {name: [f"key-of-{name}"] for name in names}
    with running(GatewayStack(plan, folder, {plan.models[0].slug: [engine.address]}, values)) as stack:
        yield stack


@pytest.fixture(autouse=True)
def as_before(engine: Piecewise) -> Iterator[None]:
    yield
    if engine.stays is not None:
        engine.stays.set()
    engine.stays, engine.kind = None, "text/event-stream"


def compact(content: object) -> bytes:
    """JSON as engines write it."""
    return json.dumps(content, separators=(",", ":"), ensure_ascii=False).encode()


def event(content: object, name: str | None = None) -> bytes:
    head = b"" if name is None else f"event: {name}\n".encode()
    return head + b"data: " + compact(content) + b"\n\n"


def chunk(text: str, finish: str | None = None, **more: object) -> dict[str, object]:
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": finish}
    return {"id": "a", "object": "chat.completion.chunk", "choices": [choice], **more}


def usage_chunk(prompt: int, answer: int, cached: int = 0) -> dict[str, object]:
    usage: dict[str, object] = {
        "prompt_tokens": prompt,
        "total_tokens": prompt + answer,
        "completion_tokens": answer,
    }
    usage["prompt_tokens_details"] = {"cached_tokens": cached}
    return {
        "id": "a",
        "object": "chat.completion.chunk",
        "choices": [],
        "usage": usage,
        "system_fingerprint": "fp",
    }


# The model quotes what the gateway looks for, and writes characters of several bytes.
SAYS = ['漢字 𝄞 "usage":{"prompt_tokens":9}', "data: [DONE]\n\n", '"finish_reason":"stop"', "end"]
DONE = b"data: [DONE]\n\n"
STREAM = b"".join([*(event(chunk(text)) for text in SAYS), event(chunk("", "stop"))])
ASKED = STREAM + event(usage_chunk(120, 31, 64)) + DONE
# As an engine writes it without usage: the last event has the fingerprint.
UNASKED = (
    b"".join(event(chunk(text)) for text in SAYS) + event(chunk("", "stop", system_fingerprint="fp")) + DONE
)


def chat(gateway: GatewayStack, key: str = "web", path: str = CHAT, **more: object) -> Answer:
    body = {"model": MODEL, "messages": HELLO, "stream": True, "max_tokens": 100, **more}
    return gateway.ask(path, body, f"key-of-{key}")


def counted(gateway: GatewayStack, answer: Answer) -> Counted:
    line = gateway.logged(answer)
    numbers = (int(line[f"{name}_tokens"]) for name in ("prompt", "cached", "answer"))
    prompt, cached, written = numbers
    return prompt, cached, written, line["tokens_from"]


@pytest.mark.parametrize("asks", [False, True], ids=["not asked", "asked"])
def test_a_stream_is_counted_and_unchanged_wherever_its_buffers_end(
    gateway: GatewayStack, engine: Piecewise, asks: bool
) -> None:
    expected = ASKED if asks else UNASKED
    more: dict[str, Any] = {"stream_options": {"include_usage": True}} if asks else {}
    answers = []
    for at in range(1, len(ASKED), 1 if not asks else 7):
        engine.pieces = [ASKED[:at], ASKED[at:]]
        answers.append(chat(gateway, **more))
        assert answers[-1].text == expected, at
    assert json.loads(engine.received[-1])["stream_options"]["include_usage"] is True
    by_tag = {answer.headers["x-request-id"] for answer in answers}

    def lines() -> list[dict[str, Any]]:
        return [line for line in gateway.log() if line["request_id"] in by_tag]

    until(lambda: len(lines()) == len(answers), "all lines in the log")
    fields = ("prompt_tokens", "cached_tokens", "answer_tokens", "tokens_from")
    assert {tuple(line[name] for name in fields) for line in lines()} == {("120", "64", "31", "usage")}


def test_a_stream_of_single_bytes_is_the_same(gateway: GatewayStack, engine: Piecewise) -> None:
    engine.pieces = [ASKED[at : at + 1] for at in range(len(ASKED))]
    answer = chat(gateway)
    assert answer.text == UNASKED
    assert counted(gateway, answer) == (120, 64, 31, "usage")


@pytest.mark.parametrize(
    ("options", "sent", "hidden"),
    [
        (None, {"include_usage": True}, True),
        ({}, {"include_usage": True}, True),
        ({"include_usage": False}, {"include_usage": True}, True),
        (
            {"include_usage": "no", "continuous_usage_stats": True},
            {"include_usage": True, "continuous_usage_stats": False},
            True,
        ),
        ({"include_usage": True}, {"include_usage": True}, False),
        ({"include_usage": "yes"}, {"include_usage": "yes"}, False),
        ({"include_usage": "perhaps"}, {"include_usage": "perhaps"}, False),
        ("text", "text", False),
    ],
)
def test_usage_is_asked_for_only_where_the_client_did_not(
    gateway: GatewayStack, engine: Piecewise, options: object, sent: object, hidden: bool
) -> None:
    engine.pieces = [ASKED]
    answer = chat(gateway, stream_options=options)
    assert json.loads(engine.received[-1])["stream_options"] == sent
    assert answer.text == (UNASKED if hidden else ASKED)
    engine.pieces = [b"{}"]
    engine.kind = "application/json"
    chat(gateway, stream=False)
    assert "stream_options" not in json.loads(engine.received[-1])


def test_the_first_event_does_not_wait_for_the_second(gateway: GatewayStack, engine: Piecewise) -> None:
    engine.stays = threading.Event()
    engine.pieces = [event(chunk("first"))]
    connection = gateway.connect(10)
    body = json.dumps({"model": MODEL, "messages": HELLO, "stream": True})
    headers = {"Content-Type": "application/json", "Authorization": "Bearer key-of-web"}
    connection.request("POST", CHAT, body, headers)
    assert connection.getresponse().read(len(event(chunk("first")))) == event(chunk("first"))
    connection.close()


MESSAGE_STREAM = (
    event(
        {"type": "message_start", "message": {"usage": {"input_tokens": 20, "output_tokens": 0}}},
        "message_start",
    )
    + event({"type": "content_block_delta", "delta": {"text": "漢"}}, "content_block_delta")
    + event(
        {
            "type": "message_delta",
            "usage": {"input_tokens": 20, "output_tokens": 9, "cache_read_input_tokens": 100},
        },
        "message_delta",
    )
    + event({"type": "message_stop"}, "message_stop")
)
RESPONSE = {
    "output": [{"content": "x" * 100_000}],
    "usage": {
        "input_tokens": 7,
        "input_tokens_details": {"cached_tokens": 5},
        "output_tokens": 3,
        "total_tokens": 10,
    },
    "user": None,
}
TOOL = {
    "content": [{"type": "tool_use", "input": {"usage": {"input_tokens": 1}}}],
    "usage": {"input_tokens": 8, "output_tokens": 2},
}


@pytest.mark.parametrize(
    ("path", "kind", "answered"),
    [
        (MESSAGES, "text/event-stream", (MESSAGE_STREAM, (120, 100, 9, "usage"))),
        (MESSAGES, "application/json", (compact(TOOL), (8, 0, 2, "usage"))),
        (
            RESPONSES,
            "text/event-stream",
            (
                event({"response": RESPONSE, "type": "response.completed"}, "response.completed"),
                (7, 5, 3, "usage"),
            ),
        ),
        (
            RESPONSES,
            "application/json",
            (compact(RESPONSE), (7, 5, 3, "usage")),
        ),
        (
            CHAT,
            "application/json",
            (
                compact({"choices": [{}], "usage": {"prompt_tokens": 4, "completion_tokens": 6}, "x": None}),
                (4, 0, 6, "usage"),
            ),
        ),
    ],
    ids=["message stream", "message with a tool", "response stream", "response", "chat"],
)
def test_usage_of_each_api_is_read(
    gateway: GatewayStack, engine: Piecewise, path: str, kind: str, answered: tuple[bytes, Counted]
) -> None:
    engine.kind = kind
    text, expected = answered
    half = len(text) - 40
    for pieces in ([text], [text[:half], text[half:]], [text[:-20], text[-20:]]):
        engine.pieces = pieces
        body = {"model": MODEL, "messages": HELLO, "input": "x", "stream": kind != "application/json"}
        limit = {"max_output_tokens": 10} if path == RESPONSES else {"max_tokens": 10}
        answer = gateway.ask(path, body | limit, "key-of-web")
        assert answer.text == text
        assert counted(gateway, answer) == expected


def test_an_error_costs_nothing(gateway: GatewayStack) -> None:
    refused = gateway.ask(CHAT, {"model": "unknown", "messages": HELLO}, "key-of-web")
    assert refused.status == 404
    assert counted(gateway, refused) == (0, 0, 0, "")


def test_a_caller_that_hangs_up_pays_for_what_it_got(gateway: GatewayStack, engine: Piecewise) -> None:
    engine.stays = threading.Event()
    engine.pieces = [event(chunk("word")) for _ in range(30)]
    before = len(gateway.log())
    connection = gateway.connect(10)
    body = json.dumps({"model": MODEL, "messages": [{"role": "user", "content": "x" * 4000}], "stream": True})
    headers = {"Content-Type": "application/json", "Authorization": "Bearer key-of-web"}
    connection.request("POST", CHAT, body, headers)
    connection.getresponse().read(len(event(chunk("word"))) * 30)
    connection.close()
    line = gateway.log_of(before + 1)[-1]
    assert (line["answer_tokens"], line["tokens_from"]) == ("30", "events")
    assert 1000 <= int(line["prompt_tokens"]) <= 1100, "a token for each four bytes of the body"


def spend(gateway: GatewayStack, engine: Piecewise, key: str, tokens: int) -> Answer:
    engine.pieces = [event(chunk("a", "stop")), event(usage_chunk(tokens, 0)), DONE]
    return chat(gateway, key)


@pytest.mark.parametrize("key", ["minute", "day", "twice"])
def test_a_caller_over_its_budget_waits_and_another_does_not(
    gateway: GatewayStack, engine: Piecewise, key: str
) -> None:
    if time.time() % 60 > 50:
        time.sleep(11)  # all within one minute
    assert spend(gateway, engine, key, 900).status == 200
    time.sleep(1.2)
    assert spend(gateway, engine, key, 900).status == 200, "900 are below each budget"
    until(lambda: spend(gateway, engine, key, 1).status == 429, "the budget is used", 5)
    for path in (CHAT, COMPLETIONS, RESPONSES):
        answer = gateway.ask(path, {"model": MODEL, "max_tokens": 5}, f"key-of-{key}")
        assert answer.status == 429
        seconds = int(answer.headers["retry-after"])
        assert 1 <= seconds <= (60 if key == "minute" else 86_400)
        assert (answer.error["type"], answer.error["message"]) == (
            "rate_limit_error",
            f"this key has used its tokens: try again in {seconds} s",
        )
    message = gateway.ask(
        MESSAGES, {"model": MODEL, "max_tokens": 5, "messages": HELLO}, f"key-of-{key}"
    ).json
    assert (message["type"], message["error"]["type"]) == ("error", "rate_limit_error")
    large = gateway.ask(CHAT, {"model": MODEL, "messages": HELLO, "user": "x" * 300_000}, f"key-of-{key}")
    assert large.status == 429
    assert gateway.ask("/v1/models", key=f"key-of-{key}").status == 200
    assert spend(gateway, engine, "web", 900).status == 200
    if key == "twice":
        assert seconds > 60, "the longer of both"


def test_two_gateways_have_half_of_a_budget_each_and_together_all_of_it(
    engine: Piecewise, make_tier: Callable[..., Plan], tmp_path: Path
) -> None:
    """What a caller of two gateways gets: the whole budget if its requests go to both, half if they all go to one."""
    keys = {"web": {"tokensPerDay": DAY}}
    plan = make_tier(
        gateway={"meterTokens": True, "replicas": 2, "keys": keys}, secrets=frozenset({"key-web"})
    )
    engines, values = {plan.models[0].slug: [engine.address]}, {"web": ["key-of-web"]}
    assert time.gmtime(time.time() + 120).tm_yday == time.gmtime().tm_yday, "a new day is about to begin"

    def used_up(gateway: GatewayStack) -> int:
        """Tokens that a gateway gives, in requests of 150, each sent when the one before is counted."""
        given = 0
        while spend(gateway, engine, "web", 150).status == 200:
            given += 150
            time.sleep(1.2)
        return given

    with (
        running(GatewayStack(plan, tmp_path / "first", engines, values)) as first,
        running(GatewayStack(plan, tmp_path / "second", engines, values)) as second,
    ):
        assert used_up(first) == DAY // 2
        assert spend(second, engine, "web", 150).status == 200, "the other gateway has its own half"
        time.sleep(1.2)
        assert 150 + used_up(second) == DAY // 2
        assert spend(first, engine, "web", 1).status == 429
