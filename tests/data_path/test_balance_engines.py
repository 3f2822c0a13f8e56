"""Turns of a conversation go to the real vLLM server that has the turns before them, as its own counters show."""

import random
from collections.abc import Callable, Iterator

import pytest
from engine_pair import EnginePair
from engine_server import EngineServer
from gateway_stack import CHAT, GatewayStack, running
from polling import until

from tierup.local.toolchain.nginx import NginxProgram
from tierup.plan.model import Plan

pytestmark = pytest.mark.xdist_group("engines")

BLOCK = 128  # tokens: the largest block of a KV cache on a CPU; only complete blocks are found again
CONVERSATIONS, TURNS = 8, 4
ASKED, FOUND = "vllm:prefix_cache_queries_total", "vllm:prefix_cache_hits_total"  # tokens


@pytest.fixture
def gateway(
    engines: EnginePair,
    make_tier: Callable[..., Plan],
    nginx: NginxProgram,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[GatewayStack]:
    plan = make_tier(gateway={"balance": "prefix", "meterTokens": True})
    folder = tmp_path_factory.mktemp("balanced")
    with running(GatewayStack(plan, folder, {plan.models[0].slug: engines.addresses}, nginx=nginx)) as stack:
        yield stack


def text(length: int) -> str:
    """A text that no engine has ever had; the tiny model's tokenizer makes a token of each letter."""
    return "".join(random.choices("abcdefghijklmnopqrstuvwxyz ", k=length))


def test_each_turn_goes_to_the_engine_that_has_the_turns_before(
    gateway: GatewayStack, engines: EnginePair
) -> None:
    """All conversations have one system prompt and take turns; each engine gets some of them."""
    system = {"role": "system", "content": text(4 * BLOCK)}
    messages = [[system] for _ in range(CONVERSATIONS)]
    homes: list[EngineServer | None] = [None] * CONVERSATIONS
    lengths = [0] * CONVERSATIONS
    for turn in range(TURNS):
        for number, talk in enumerate(messages):
            talk.append({"role": "user", "content": text(3 * BLOCK)})
            before = {server: (server.counts(ASKED), server.counts(FOUND)) for server in engines.servers}
            answer = gateway.ask(CHAT, {"messages": talk, "max_tokens": 4, "temperature": 0})
            assert answer.status == 200, answer

            def asked() -> list[EngineServer]:
                return [server for server in engines.servers if server.counts(ASKED) > before[server][0]]  # noqa: B023

            until(lambda: bool(asked()), "the engine's counters")
            (server,) = asked()
            length = server.counts(ASKED) - before[server][0]
            cached = server.counts(FOUND) - before[server][1]
            if turn > 0:
                assert server is homes[number], f"turn {turn} of conversation {number} has moved"
                assert cached > lengths[number] - BLOCK, (turn, cached, lengths[number])
            assert int(gateway.logged(answer)["cached_tokens"]) == cached
            homes[number], lengths[number] = server, int(length)
            talk.append({"role": "assistant", "content": answer.json["choices"][0]["message"]["content"]})
    assert {id(server) for server in homes} == {id(server) for server in engines.servers}
    assert {line["balance"] for line in gateway.log_of(TURNS * CONVERSATIONS)} == {"first"}
