"""OpenAI's own Python client, unchanged, against the gateway and two real vLLM servers."""

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import openai
import pytest
from engine_pair import EnginePair
from gateway_stack import GatewayStack, running
from polling import until

from tierup.plan.model import Plan

pytestmark = pytest.mark.xdist_group("engines")  # one pair of engines, and no two tests that load it

MODEL = "qwen2.5-7b"
KEY = "key-of-web"
HELLO: list[Any] = [{"role": "user", "content": "hello"}]
WEATHER: list[Any] = [
    {
        "type": "function",
        "function": {
            "name": "weather",
            "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
        },
    }
]


@pytest.fixture(scope="module")
def gateway(
    engines: EnginePair, make_tier: Callable[..., Plan], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[GatewayStack]:
    plan = make_tier(gateway={"keys": {"web": {}}}, secrets=frozenset({"key-web"}))
    folder = tmp_path_factory.mktemp("gateway")
    with running(
        GatewayStack(plan, folder, {plan.models[0].slug: engines.addresses}, {"web": [KEY]})
    ) as stack:
        yield stack


@pytest.fixture(scope="module")
def client(gateway: GatewayStack) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{gateway.url}/v1", api_key=KEY, max_retries=0, timeout=120)


def test_a_chat_is_answered_with_usage(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(model=MODEL, messages=HELLO, max_tokens=5)
    assert answer.model == MODEL
    assert answer.usage is not None
    assert answer.usage.completion_tokens <= 5


def test_a_stream_comes_token_by_token(client: openai.OpenAI) -> None:
    """That the first chunk does not wait for the last is proven where a fake holds the last one back."""
    started = time.monotonic()
    stream = client.chat.completions.create(
        model=MODEL,
        messages=HELLO,
        max_tokens=200,
        stream=True,
        stream_options={"include_usage": True},
        extra_body={"ignore_eos": True},
    )
    times, tokens = [], 0
    for chunk in stream:
        times.append(time.monotonic() - started)
        tokens = chunk.usage.completion_tokens if chunk.usage is not None else tokens
    assert tokens == 200
    assert len(times) >= 20, "chunks were put together"  # a busy engine puts a few tokens into one
    assert times[0] < times[-1]


def test_a_completion_takes_text_of_every_script(client: openai.OpenAI) -> None:
    text = 'Ünïcödé ☃ 漢字 𝄞 \u0000 \\ " </script>'
    answer = client.completions.create(model=MODEL, prompt=text, max_tokens=1, extra_body={"echo": True})
    assert answer.choices[0].text.startswith(text)


def test_models_are_listed_and_looked_up(client: openai.OpenAI) -> None:
    assert [model.id for model in client.models.list()] == [MODEL]
    assert client.models.retrieve(MODEL).id == MODEL


def test_tools_go_through_to_the_engine(client: openai.OpenAI) -> None:
    free = client.chat.completions.create(
        model=MODEL, messages=HELLO, tools=WEATHER, tool_choice="auto", max_tokens=2
    )
    assert free.usage is not None
    demanded = client.chat.completions.create(
        model=MODEL,
        messages=HELLO,
        tools=WEATHER,
        tool_choice={"type": "function", "function": {"name": "weather"}},
        max_tokens=200,
    )
    calls = demanded.choices[0].message.tool_calls or []
    # Random weights say nothing of use in its arguments.
    assert {call.function.name for call in calls if call.type == "function"} == {"weather"}


def test_errors_are_the_client_s_own_classes(client: openai.OpenAI, gateway: GatewayStack) -> None:
    create = client.chat.completions.create
    with pytest.raises(openai.NotFoundError, match="no such model"):
        create(model="gpt-4", messages=HELLO)
    with pytest.raises(openai.BadRequestError, match="temperature"):
        create(model=MODEL, messages=HELLO, temperature=-3)
    with pytest.raises(openai.BadRequestError, match="context length"):
        create(model=MODEL, messages=[{"role": "user", "content": "x" * 9000}])
    stranger = openai.OpenAI(base_url=f"{gateway.url}/v1", api_key="nobody-s", max_retries=0)
    with pytest.raises(openai.AuthenticationError, match="no such API key"):
        stranger.models.list()


@pytest.mark.parametrize("size", [120_000, 200_000, 1_000_000])
def test_large_bodies_are_served_completely(client: openai.OpenAI, size: int) -> None:
    answer = client.chat.completions.create(model=MODEL, messages=HELLO, max_tokens=1, user="x" * size)
    assert answer.usage is not None
    assert answer.usage.prompt_tokens < 100, "the padding is not part of the prompt"


def test_a_body_of_20_mb_is_refused(client: openai.OpenAI) -> None:
    with pytest.raises(openai.APIStatusError) as caught:
        client.chat.completions.create(model=MODEL, messages=HELLO, user="x" * 20_000_000)
    assert caught.value.status_code == 413


def test_a_client_s_timeout_ends_the_work_behind_it(client: openai.OpenAI, engines: EnginePair) -> None:
    until(lambda: engines.metric("vllm:num_requests_running") == 0, "nothing runs")
    with pytest.raises(openai.APITimeoutError):
        client.with_options(timeout=1).chat.completions.create(
            model=MODEL, messages=HELLO, max_tokens=7000, extra_body={"ignore_eos": True}
        )
    until(lambda: engines.metric("vllm:num_requests_running") == 0, "the engine has let go of it")


def test_a_client_that_disconnects_frees_the_engine_s_slot(
    client: openai.OpenAI, engines: EnginePair
) -> None:
    stream = client.chat.completions.create(
        model=MODEL, messages=HELLO, max_tokens=7000, stream=True, extra_body={"ignore_eos": True}
    )
    next(iter(stream))
    assert engines.metric("vllm:num_requests_running") == 1
    stream.close()
    until(lambda: engines.metric("vllm:num_requests_running") == 0, "the slot is free")


def test_fifty_clients_at_once_are_all_answered(client: openai.OpenAI) -> None:
    """Eight slots and forty places to wait hold 48; two may be refused, as 429, and nothing else happens."""
    outcomes: list[str] = []
    waits: list[str] = []

    def one() -> None:
        try:
            client.chat.completions.create(model=MODEL, messages=HELLO, max_tokens=8)
            outcomes.append("served")
        except openai.RateLimitError as error:
            waits.append(error.response.headers["retry-after"])
            outcomes.append("refused")

    threads = [threading.Thread(target=one) for _ in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(outcomes) == 50
    assert outcomes.count("served") >= 48
    assert all(int(wait) >= 1 for wait in waits)
