"""Chats do not wait for long jobs, and long jobs still finish: two real vLLM servers of four slots each."""

import json
import statistics
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from engine_pair import EnginePair
from gateway_stack import CHAT, GatewayStack, running
from polling import until

from tierup.plan.model import Plan

pytestmark = pytest.mark.xdist_group("engines")  # one pair of engines, and no two tests that load it

MODEL = "qwen2.5-7b"
CLIENTS = 12  # of long jobs, each with one at any time: more than the eight slots
JOBS = 24  # when so many are done, the measurement ends
JOB_TOKENS = 400
CHATTERS = 3
MOST_RATIO = 0.3  # of chat's TTFT without priorities
# Times that the slowest long job may take, of what it takes without: half of the slots, and chats go first.
MOST_DELAY = 6.0
CHAT_CLASS = {
    "promptTokens": 64,
    "answerTokens": 8,
    "ttftMs": 5000,
    "tpotMs": 50,
    "share": 0.8,
    "priority": 80,
}
LONG_CLASS = CHAT_CLASS | {"answerTokens": 150, "share": 0.2}


@dataclass
class Run:
    """What one run measured, in seconds: TTFT of each chat, and each long job from its first attempt to its end."""

    ttft: list[float] = field(default_factory=list)
    jobs: list[float] = field(default_factory=list)
    refusals: int = 0
    wrong: list[str] = field(default_factory=list)

    @property
    def median(self) -> float:
        return statistics.median(self.ttft)

    @property
    def p95(self) -> float:
        return sorted(self.ttft)[int(0.95 * (len(self.ttft) - 1))]

    def __str__(self) -> str:
        chats = f"chat TTFT median {self.median:.2f} s, p95 {self.p95:.2f} s of {len(self.ttft)}"
        return f"{chats}; {len(self.jobs)} long jobs, slowest {max(self.jobs):.1f} s, refused {self.refusals} times"


def stream(gateway: GatewayStack, tokens: int, sent: list[int] | None = None) -> tuple[int, float, bool]:
    """Status, seconds to the first event, whether it is complete; `sent` is called with the time of the request."""
    body = {"model": MODEL, "messages": [{"role": "user", "content": "hello"}], "max_tokens": tokens}
    started = time.monotonic()
    connection = gateway.connect()
    try:
        text = json.dumps(body | {"stream": True, "ignore_eos": True})
        connection.request("POST", CHAT, text, {"Content-Type": "application/json"})
        if sent is not None:
            sent.append(tokens)
        answer = connection.getresponse()
        if answer.status != 200:
            return answer.status, 0.0, False
        answer.readline()
        first = time.monotonic() - started
        return 200, first, answer.read().endswith(b"data: [DONE]\n\n")
    finally:
        connection.close()


def measure(gateway: GatewayStack) -> Run:
    """Long jobs all the time; chats one after the other, from when every client has a job until enough are done."""
    run, over, sent = Run(), threading.Event(), list[int]()

    def jobs() -> None:
        while not over.is_set():
            started, status = time.monotonic(), 429
            while status == 429:  # who was refused comes again, and every job that was begun ends
                status, _, complete = stream(gateway, JOB_TOKENS, sent)
                run.refusals += status == 429
                time.sleep(0.1 if status == 429 else 0)
            run.jobs.append(time.monotonic() - started)
            if status != 200 or not complete:
                run.wrong.append(f"long job: {status}, complete: {complete}")
            if len(run.jobs) >= JOBS:
                over.set()

    def chats() -> None:
        while not over.is_set():
            status, first, _ = stream(gateway, 4)
            if status == 200:
                run.ttft.append(first)
            else:
                run.wrong.append(f"chat: {status}")

    threads = [threading.Thread(target=jobs) for _ in range(CLIENTS)]
    for thread in threads:
        thread.start()
    until(lambda: len(sent) >= CLIENTS, "a long job of every client")
    threads += [threading.Thread(target=chats) for _ in range(CHATTERS)]
    for thread in threads[CLIENTS:]:
        thread.start()
    for thread in threads:
        thread.join()
    return run


def test_chats_overtake_long_jobs_and_long_jobs_still_finish(
    engines: EnginePair, make_tier: Callable[..., Plan], tmp_path: Path
) -> None:
    """The same load twice: with one priority for all, and with the classes' own and the cap that follows from them."""
    runs: dict[str, Run] = {}
    for name, priority in (("alike", 80), ("ranked", 20)):
        classes: dict[str, Any] = {"chat": CHAT_CLASS, "longform": LONG_CLASS | {"priority": priority}}
        plan = make_tier(workload={"users": 16, "classes": classes})
        folder = tmp_path / name
        folder.mkdir()
        with running(GatewayStack(plan, folder, {plan.models[0].slug: engines.addresses})) as gateway:
            runs[name] = measure(gateway)
    alike, ranked = runs["alike"], runs["ranked"]
    summary = f"alike: {alike}; ranked: {ranked}"
    print(summary)
    assert alike.wrong == ranked.wrong == [], summary
    assert len(alike.ttft) >= CHATTERS, summary
    assert ranked.p95 <= MOST_RATIO * alike.p95, summary
    assert max(ranked.jobs) <= MOST_DELAY * max(alike.jobs), summary
    assert alike.refusals == 0, summary
    assert ranked.refusals > 0, "the cap was never reached"
