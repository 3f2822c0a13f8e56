"""The engine's own request limit above the gateway's: what it counts, and how it refuses a request."""

import json
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests
from served import Served

from tierup.local.machine.vllm_on_cpu import parse_options

REFUSED = "vllm:admission_rejections_total"
ENDLESS: dict[str, Any] = {"max_tokens": 4000, "ignore_eos": True}


@pytest.fixture
def full(small: Served) -> Iterator[Served]:
    """The small server with as many requests as it takes, most of them waiting."""
    bound = int(parse_options(small.container["args"])["--max-num-queued-reqs"][0])
    assert bound == 12
    streams: list[requests.Response] = []
    try:
        streams.extend(
            small.server.chat(f"tell me {number}", headers_only=True, stream=True, **ENDLESS)
            for number in range(bound)
        )
        small.server.wait_until(lambda: small.server.in_flight() == bound, f"{bound} requests are in flight")
        yield small
    finally:
        for stream in streams:
            stream.close()
    # A client that goes away leaves its slot to others.
    small.server.wait_until(
        lambda: small.server.in_flight() == 0, "the requests of clients that left are dropped"
    )


def test_running_and_waiting_requests_fill_the_bound_together(full: Served) -> None:
    assert full.server.counts("vllm:num_requests_running") == 4
    assert full.server.counts("vllm:num_requests_waiting") == 8


@pytest.mark.parametrize("stream", [False, True])
def test_a_request_beyond_the_bound_is_refused_and_counted(full: Served, stream: bool) -> None:
    before = full.server.counts(REFUSED)
    answer = full.server.chat("one more", stream=stream)
    assert answer.status_code == 503
    assert answer.json()["error"]["code"] == 503
    assert full.server.counts(REFUSED) == before + 1


def first_of(stream: requests.Response) -> str:
    """How a stream begins: `token`, `refused` by its status, or `refused inside` after status 200."""
    with stream:
        if stream.status_code != 200:
            assert stream.status_code == 503, stream.text
            return "refused"
        line = next(line for line in stream.iter_lines() if line.startswith(b"data: "))
        error = json.loads(line[6:]).get("error")
        assert error is None or error["code"] == 503
        return "token" if error is None else "refused inside"


def test_every_request_of_a_burst_is_served_or_refused_and_counted(small: Served) -> None:
    """The engine checks twice: before a stream begins, and when the request joins the queue. In between, other requests
    may fill the queue, so a stream can be refused after its status 200, which no proxy can change any more.
    """
    before = small.server.counts(REFUSED)

    def send(number: int) -> str:
        return first_of(small.server.chat(f"{number}", headers_only=True, stream=True, **ENDLESS))

    ends = Counter[str]()
    for _ in range(20):  # on a busy machine the clients may come one after the other
        with ThreadPoolExecutor(48) as clients:
            ends.update(clients.map(send, range(48)))
        if refused := ends["refused"] + ends["refused inside"]:
            break
    assert refused > 0
    assert ends["token"] >= 12
    assert small.server.counts(REFUSED) == before + refused
    small.server.wait_until(
        lambda: small.server.in_flight() == 0, "the requests of clients that left are dropped"
    )


def test_a_request_for_several_answers_counts_once_per_answer(small: Served) -> None:
    streams = [small.server.chat("tell me", headers_only=True, stream=True, **ENDLESS) for _ in range(8)]
    try:
        small.server.wait_until(lambda: small.server.in_flight() == 8, "8 requests are in flight")
        assert small.server.chat("hello", n=5).status_code == 503
        streams.append(small.server.chat("hello", n=4, headers_only=True, stream=True, **ENDLESS))
        assert streams[-1].ok
        small.server.wait_until(lambda: small.server.in_flight() == 12, "it counts as four")
    finally:
        for stream in streams:
            stream.close()
    small.server.wait_until(
        lambda: small.server.in_flight() == 0, "the requests of clients that left are dropped"
    )
