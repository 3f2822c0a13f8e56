"""Prompts with a common beginning go to one engine, within a bound; two versions of Nginx, fake engines."""

import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from fake_backend import BackendProcess, FakeBackend
from gateway_stack import CHAT, COMPLETIONS, GatewayStack, running
from polling import until

from tierup.local.toolchain.nginx import NginxProgram
from tierup.plan.model import Plan

SYSTEM = {"role": "system", "content": "You answer briefly. " * 40}
CONVERSATIONS = 60


@pytest.fixture
def backends() -> Iterator[list[FakeBackend]]:
    started = [FakeBackend(name).start() for name in ("a", "b", "c")]
    yield started
    for backend in started:
        backend.stop()
        assert backend.unknown == []


@pytest.fixture
def open_balanced(
    make_tier: Callable[..., Plan], tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., Any]:
    """Gateways before engines at these addresses, balanced by prefix unless the settings say otherwise."""

    def opened(nginx: NginxProgram, addresses: list[str], **settings: object) -> Any:
        plan = make_tier(gateway={"balance": "prefix", **settings})
        folder = tmp_path_factory.mktemp("gateway")
        return running(GatewayStack(plan, folder, {plan.models[0].slug: addresses}, nginx=nginx))

    return opened


def turn(number: int, turns: int = 1, **more: object) -> dict[str, object]:
    """A conversation under the shared system prompt after so many turns."""
    messages: list[dict[str, str]] = [SYSTEM, {"role": "user", "content": f"Question {number}: what is it?"}]
    for later in range(1, turns):
        messages += [
            {"role": "assistant", "content": f"Answer {later}"},
            {"role": "user", "content": f"And {later}?"},
        ]
    return {"messages": messages, "max_tokens": 8, **more}


def served_by(stack: GatewayStack, body: dict[str, object], path: str = CHAT) -> str:
    answer = stack.ask(path, body)
    assert answer.status == 200, answer
    name: str = answer.json["served_by"]
    return name


def homes(stack: GatewayStack, turns: int = 1) -> dict[int, str]:
    return {number: served_by(stack, turn(number, turns)) for number in range(CONVERSATIONS)}


def send(stack: GatewayStack, body: dict[str, object], results: list[int]) -> threading.Thread:
    thread = threading.Thread(target=lambda: results.append(stack.ask(CHAT, body).status))
    thread.start()
    return thread


def test_a_conversation_stays_and_different_ones_spread(
    open_balanced: Callable[..., Any], nginx: NginxProgram, backends: list[FakeBackend]
) -> None:
    with open_balanced(nginx, [backend.address for backend in backends]) as stack:
        first = homes(stack)
        assert homes(stack, turns=2) == homes(stack, turns=5) == first
        spread = Counter(first.values())
        assert set(spread) == {"a", "b", "c"}
        assert max(spread.values()) < CONVERSATIONS * 2 / 3, spread
        assert {line["balance"] for line in stack.log_of(3 * CONVERSATIONS)} == {"first"}


def test_balanced_requests_have_their_tokens_counted(
    open_balanced: Callable[..., Any], nginx: NginxProgram, backends: list[FakeBackend]
) -> None:
    """With `meterTokens`, streams too go to their engine, ask it for usage and are counted; one log line has both."""
    with open_balanced(nginx, [backend.address for backend in backends], meterTokens=True) as stack:
        first = homes(stack)
        assert set(first.values()) == {"a", "b", "c"}
        for number in range(6):
            assert stack.ask(CHAT, turn(number, turns=2, stream=True)).status == 200
            (home,) = [backend for backend in backends if backend.name == first[number]]
            assert home.received[-1].json["stream_options"] == {"include_usage": True}
        lines = stack.log_of(CONVERSATIONS + 6)
        assert {line["balance"] for line in lines} == {"first"}
        assert all(
            line["tokens_from"] == "events" for line in lines
        )  # these engines do not say what they used
        assert all(int(line["prompt_tokens"]) > 100 for line in lines)


def test_an_engine_that_comes_or_goes_moves_only_its_share(
    open_balanced: Callable[..., Any], nginx: NginxProgram, backends: list[FakeBackend]
) -> None:
    addresses = [backend.address for backend in backends]
    with open_balanced(nginx, addresses[:2]) as stack:
        (slug,) = [model.slug for model in stack.plan.models]
        two = homes(stack)
        stack.set_engines(slug, addresses)
        until(lambda: stack.configuration().count(addresses[2]) > 1, "the third engine")
        three = homes(stack)
        moved = {number for number in two if two[number] != three[number]}
        assert {three[number] for number in moved} == {"c"}
        assert 0.1 < len(moved) / CONVERSATIONS < 0.6  # a third; four standard deviations are 0.24
        stack.set_engines(slug, addresses[:2])
        until(lambda: addresses[2] not in stack.configuration(), "the third engine's end")
        assert homes(stack) == two


def test_prompts_with_a_common_beginning_stay_together(
    open_balanced: Callable[..., Any], nginx: NginxProgram, backends: list[FakeBackend]
) -> None:
    """A long document with different questions after it, on every path; with a salt it is another cache."""
    document = "The report of the year. " * 60

    def bodies(question: str) -> list[tuple[str, dict[str, object]]]:
        parts = [{"type": "text", "text": document + question}]
        return [
            (COMPLETIONS, {"prompt": document + question}),
            (COMPLETIONS, {"prompt": [*range(2000), len(question)]}),
            (CHAT, {"messages": [{"role": "user", "content": parts}], "max_tokens": 8}),
            (
                "/v1/responses",
                {"instructions": "Be brief.", "input": document + question, "max_output_tokens": 8},
            ),
            ("/v1/responses", {"input": [{"role": "user", "content": parts}], "max_output_tokens": 8}),
            (
                "/v1/messages",
                {"system": document, "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 8},
            ),
        ]

    with open_balanced(nginx, [backend.address for backend in backends]) as stack:
        for number in range(len(bodies(""))):
            found = set()
            for question in ("Who?", "Where was it?", "And when?", "Why?"):
                path, body = bodies(question)[number]
                found.add(served_by(stack, body, path))
            assert len(found) == 1, (path, found)
        salted = {served_by(stack, turn(1, cache_salt=f"team {team}")) for team in range(20)}
        assert len(salted) > 1


def test_an_engine_that_is_killed_loses_no_conversation(
    open_balanced: Callable[..., Any], nginx: NginxProgram
) -> None:
    """Its conversations go on at the other engine at once: connections that are refused are tried elsewhere."""
    pair = [BackendProcess(), BackendProcess()]
    try:
        with open_balanced(nginx, [engine.address for engine in pair]) as stack:
            for number in range(20):
                assert stack.ask(CHAT, turn(number)).status == 200
            before = [engine.requests() for engine in pair]
            assert min(before) > 0
            pair[0].kill()
            assert [stack.ask(CHAT, turn(number, turns=2)).status for number in range(20)] == [200] * 20
            assert pair[1].requests() == before[1] + 20
    finally:
        for engine in pair:
            engine.kill()


@pytest.mark.parametrize("metered", [False, True], ids=["plain", "metered"])
def test_a_hot_prompt_never_exceeds_the_bound(
    open_balanced: Callable[..., Any], current: NginxProgram, backends: list[FakeBackend], metered: bool
) -> None:
    """All ask the same: no engine gets above 1.25 times the mean, and all counts return to zero."""
    pair = backends[:2]
    results: list[int] = []
    with open_balanced(current, [backend.address for backend in pair], meterTokens=metered) as stack:
        hot = turn(1, hold=True)
        threads = []
        for number in range(1, 25):
            threads.append(send(stack, hot, results))
            until(lambda: sum(backend.held for backend in pair) == number, f"{number} requests in flight")  # noqa: B023
            busiest = max(backend.held for backend in pair)
            assert busiest <= -(-1.25 * number // 2), (number, [backend.held for backend in pair])
        assert max(backend.held for backend in pair) == 15  # all that the bound allows stay together
        for backend in pair:
            backend.release.set()
        for thread in threads:
            thread.join()
        assert results == [200] * 24
        assert [line["balance"] for line in stack.log_of(24)].count("moved") == 9
        # Nothing is left in flight: one after the other all go to their first engine again.
        assert len({served_by(stack, turn(1)) for _ in range(10)}) == 1
        assert {line["balance"] for line in stack.log_of(34)[24:]} == {"first"}


@pytest.mark.parametrize("metered", [False, True], ids=["plain", "metered"])
def test_refused_requests_and_clients_that_leave_are_counted_out(
    open_balanced: Callable[..., Any], current: NginxProgram, backends: list[FakeBackend], metered: bool
) -> None:
    pair = backends[:2]
    results: list[int] = []
    with open_balanced(
        current, [backend.address for backend in pair], queueLength=0, meterTokens=metered
    ) as stack:
        leaving = []
        for _ in range(4):
            connection = stack.connect()
            connection.request(
                "POST", CHAT, json.dumps(turn(1, hold=True)), {"Content-Type": "application/json"}
            )
            leaving.append(connection)
        until(lambda: sum(backend.held for backend in pair) == 4, "four requests in flight")
        threads = [send(stack, turn(1, hold=True), results) for _ in range(8)]
        until(lambda: results.count(429) == 4, "four refused requests")
        for connection in leaving:
            connection.close()
        stack.log_of(8)
        for backend in pair:
            backend.release.set()
        for thread in threads:
            thread.join()
        assert sorted(results) == [200] * 4 + [429] * 4
        stack.log_of(12)
        assert len({served_by(stack, turn(1)) for _ in range(6)}) == 1


def test_large_bodies_go_to_the_same_engine(
    open_balanced: Callable[..., Any], nginx: NginxProgram, backends: list[FakeBackend]
) -> None:
    """They take the gateway's other way: a conversation that has grown long stays."""
    with open_balanced(nginx, [backend.address for backend in backends]) as stack:
        for number in range(12):
            grown = turn(number, turns=2)
            messages = grown["messages"]
            assert isinstance(messages, list)
            messages.append({"role": "user", "content": "long " * 60_000})
            assert served_by(stack, grown) == served_by(stack, turn(number))


def test_least_connections_spread_a_conversation(
    open_balanced: Callable[..., Any], nginx: NginxProgram, backends: list[FakeBackend]
) -> None:
    with open_balanced(
        nginx, [backend.address for backend in backends[:2]], balance="leastConnections"
    ) as stack:
        assert {served_by(stack, turn(1)) for _ in range(8)} == {"a", "b"}
        assert "balance" not in stack.log_of(8)[0]
