"""What the gateway counts is what real vLLM servers count, for each API, streamed or not."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import openai
import pytest
from engine_pair import EnginePair
from gateway_stack import CHAT, COMPLETIONS, Answer, GatewayStack, running

from tierup.plan.model import Plan

pytestmark = pytest.mark.xdist_group("engines")

MODEL, KEY = "qwen2.5-7b", "key-of-web"
MESSAGES, RESPONSES = "/v1/messages", "/v1/responses"
HELLO: list[Any] = [{"role": "user", "content": "hello"}]
BODIES: dict[str, dict[str, Any]] = {
    CHAT: {"messages": HELLO, "max_tokens": 9},
    COMPLETIONS: {"prompt": "hello", "max_tokens": 9},
    RESPONSES: {"input": "hello", "max_output_tokens": 9},
    MESSAGES: {"messages": HELLO, "max_tokens": 9},
}


@pytest.fixture(scope="module")
def gateway(
    engines: EnginePair, make_tier: Callable[..., Plan], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[GatewayStack]:
    plan = make_tier(gateway={"meterTokens": True, "keys": {"web": {}}}, secrets=frozenset({"key-web"}))
    folder = tmp_path_factory.mktemp("metered")
    stack = GatewayStack(plan, folder, {plan.models[0].slug: engines.addresses}, {"web": [KEY]})
    with running(stack):
        yield stack


def computed(engines: EnginePair) -> tuple[float, float]:
    """Tokens of prompts and answers that the engines have counted."""
    return engines.metric("vllm:prompt_tokens_total"), engines.metric("vllm:generation_tokens_total")


@pytest.mark.parametrize("more", [{}, {"n": 2, "temperature": 1}], ids=["one", "two"])
@pytest.mark.parametrize("stream", [False, True], ids=["in one piece", "stream"])
@pytest.mark.parametrize("path", list(BODIES))
def test_the_log_has_the_engine_s_counts(
    gateway: GatewayStack, engines: EnginePair, path: str, stream: bool, more: dict[str, Any]
) -> None:
    if more and path not in (CHAT, COMPLETIONS):
        more = {"temperature": 1}  # these have no n
    before = computed(engines)
    answer = gateway.ask(path, {"model": MODEL, "stream": stream, **BODIES[path], **more}, KEY)
    assert answer.status == 200, answer
    line = gateway.logged(answer)
    after = computed(engines)
    prompt, written = (int(line[f"{name}_tokens"]) for name in ("prompt", "answer"))
    assert line["tokens_from"] == "usage"
    assert written == after[1] - before[1]
    assert prompt * more.get("n", 1) == after[0] - before[0] or prompt == after[0] - before[0]
    if not stream:
        usage = answer.json["usage"]
        assert written == usage.get("completion_tokens", usage.get("output_tokens"))


def test_a_client_that_did_not_ask_gets_the_engine_s_own_stream(
    gateway: GatewayStack, engines: EnginePair
) -> None:
    body = {"model": MODEL, "stream": True, "temperature": 0, "seed": 1}

    def events(answer: Answer) -> list[Any]:
        texts = [line.removeprefix("data: ") for line in answer.text.decode().splitlines() if line]
        assert texts.pop() == "[DONE]"
        return [{**json.loads(text), "id": 0, "created": 0} for text in texts]

    def direct(path: str) -> Answer:
        server = engines.servers[0]
        import http.client

        connection = http.client.HTTPConnection(server.address, timeout=60)
        text = json.dumps(body | BODIES[path])
        connection.request("POST", path, text, {"Content-Type": "application/json"})
        response = connection.getresponse()
        return Answer(response.status, {}, response.read())

    def shape(found: list[Any]) -> set[Any]:
        """The keys of the events: buffers of a busy engine may join tokens."""
        return {tuple(sorted(item)) for item in found}

    def text_of(found: list[Any]) -> str:
        choices = (item["choices"][0] for item in found)
        return "".join(item.get("text") or item.get("delta", {}).get("content") or "" for item in choices)

    for path in (CHAT, COMPLETIONS):
        through, own = events(gateway.ask(path, body | BODIES[path], KEY)), events(direct(path))
        assert text_of(through) == text_of(own)
        assert shape(through) == shape(own)
        assert through[-1]["system_fingerprint"] == own[-1]["system_fingerprint"]


def test_openai_s_client_gets_usage_where_it_asks(gateway: GatewayStack) -> None:
    client = openai.OpenAI(base_url=f"{gateway.url}/v1", api_key=KEY, max_retries=0)
    create = client.chat.completions.create
    asked = list(
        create(model=MODEL, messages=HELLO, max_tokens=5, stream=True, stream_options={"include_usage": True})
    )
    assert asked[-1].usage is not None
    assert asked[-1].usage.completion_tokens >= 1
    silent = list(create(model=MODEL, messages=HELLO, max_tokens=5, stream=True))
    assert all(item.usage is None and item.choices for item in silent)


def test_tokens_of_the_cache_are_named(gateway: GatewayStack) -> None:
    body = {"model": MODEL, "messages": [{"role": "user", "content": "word " * 100}], "max_tokens": 2}
    lines = [gateway.logged(gateway.ask(CHAT, body, KEY)) for _ in range(4)]
    cached = max(int(line["cached_tokens"]) for line in lines)
    assert 0 < cached < int(lines[0]["prompt_tokens"])


def test_a_client_that_hangs_up_is_charged_about_what_the_engine_wrote(
    gateway: GatewayStack, engines: EnginePair
) -> None:
    before, lines = computed(engines), len(gateway.log())
    connection = gateway.connect(30)
    body = json.dumps(
        {"model": MODEL, "messages": HELLO, "max_tokens": 500, "stream": True, "ignore_eos": True}
    )
    connection.request(
        "POST", CHAT, body, {"Content-Type": "application/json", "Authorization": f"Bearer {KEY}"}
    )
    connection.getresponse().read(8000)
    connection.close()
    line = gateway.log_of(lines + 1)[-1]
    written = computed(engines)[1] - before[1]
    assert line["tokens_from"] == "events"
    assert int(line["prompt_tokens"]) > 0
    assert 0.3 * written <= int(line["answer_tokens"]) <= written + 2
