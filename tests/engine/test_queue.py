"""The engine's own bound, a net above the gateway's: what it counts, and how a request beyond it is refused."""

import json
from collections.abc import Iterator

import pytest
import requests
from engine_server import options
from served import Served

REFUSED = "vllm:admission_rejections_total"
ENDLESS = {"max_tokens": 4000, "ignore_eos": True}


@pytest.fixture
def full(small: Served) -> Iterator[Served]:
    """The small server with as many requests as it takes, most of them waiting."""
    bound = int(options(small.container["args"])["--max-num-queued-reqs"][0])
    assert bound == 2 * (4 + 2)
    streams: list[requests.Response] = []
    try:
        for number in range(bound):
            streams.append(small.server.chat(f"tell me {number}", whole=False, stream=True, **ENDLESS))
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


def test_a_request_beyond_it_is_refused_and_counted(full: Served) -> None:
    before = full.server.counts(REFUSED)
    answer = full.server.chat("one more")
    assert answer.status_code == 503
    assert answer.json()["error"]["code"] == 503
    assert full.server.counts(REFUSED) == before + 1


def test_a_stream_beyond_it_is_refused_and_counted(full: Served) -> None:
    before = full.server.counts(REFUSED)
    answer = full.server.chat("one more", stream=True)
    print(answer.status_code, answer.text)
    events = [json.loads(line[6:]) for line in answer.text.splitlines() if line.startswith("data: {")]
    assert answer.status_code == 200
    assert [event["error"]["code"] for event in events] == [503]
    assert full.server.counts(REFUSED) == before + 1


def test_a_request_for_several_answers_counts_as_often(small: Served) -> None:
    streams = [small.server.chat("tell me", whole=False, stream=True, **ENDLESS) for _ in range(8)]
    try:
        small.server.wait_until(lambda: small.server.in_flight() == 8, "8 requests are in flight")
        assert small.server.chat("hello", n=5).status_code == 503
        assert small.server.chat("hello", n=4, max_tokens=1, priority=-1).ok
    finally:
        for stream in streams:
            stream.close()
    small.server.wait_until(
        lambda: small.server.in_flight() == 0, "the requests of clients that left are dropped"
    )
