"""Ten times what fits: admitted requests are served within the stated time, all others get a time to retry."""

import contextlib
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from engine_pair import EnginePair
from gateway_stack import CHAT, GatewayStack, running
from polling import until

from tierup.manifests.gateway_files import retry_after_seconds
from tierup.plan.model import Plan

pytestmark = pytest.mark.xdist_group("engines")  # one pair of engines, and no two tests that load it

SLOTS, QUEUE = 8, 40
CLIENTS = 10 * (SLOTS + QUEUE)
BODY = {"messages": [{"role": "user", "content": "hello"}], "max_tokens": 30, "ignore_eos": True}
GROWTH_KB = (
    20 * 1024
)  # of all Nginx processes: connections and VMs of what is in flight, given back later or kept


def memory_kb(gateway: GatewayStack) -> int:
    """Resident memory of Nginx, its workers and the reloader."""
    total = 0
    groups = {process.pid for process in gateway.started}
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.NoSuchProcess, ProcessLookupError):
            if os.getpgid(process.pid) in groups:
                total += process.memory_info().rss
    return total // 1024


def test_ten_times_the_bound_is_served_or_refused_and_nothing_else(
    engines: EnginePair, make_tier: Callable[..., Plan], tmp_path: Path
) -> None:
    plan = make_tier(gateway={"queueLength": QUEUE})
    stack = GatewayStack(plan, tmp_path / "gateway", {plan.models[0].slug: engines.addresses})
    served: list[int] = []
    refused: list[str] = []
    wrong: list[object] = []
    with running(stack) as gateway:

        def client() -> None:
            answer = gateway.ask(CHAT, BODY)
            if answer.status == 200:
                served.append(answer.status)
            elif answer.status == 429 and answer.error["type"] == "rate_limit_error":
                refused.append(answer.headers["retry-after"])
            else:
                wrong.append(answer)

        assert gateway.ask(CHAT, BODY).status == 200
        before = memory_kb(gateway)
        threads = [threading.Thread(target=client) for _ in range(CLIENTS)]
        started = time.monotonic()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        elapsed = time.monotonic() - started
        assert memory_kb(gateway) - before < GROWTH_KB
        assert wrong == []
        assert len(served) + len(refused) == CLIENTS
        assert set(refused) == {str(retry_after_seconds(plan, plan.models[0]))}
        assert len(served) >= SLOTS + QUEUE, "the bound let in fewer than it states"
        assert len(refused) > 0
        log = gateway.log_of(1 + CLIENTS)
        assert [line["status"] for line in log].count("429") == len(refused)
        # A full queue before you at the rate at which this run was served, and your own turn; by Nginx's clock, since
        # so many threads of a client wait for each other. Without a bound it is ten times that.
        wait = (SLOTS + QUEUE) / (len(served) / elapsed)
        longest = max(float(line["seconds"]) for line in log if line["status"] == "200")
        assert longest <= 2 * wait, (longest, wait)
        until(lambda: engines.metric("vllm:num_requests_waiting") == 0, "the queue is empty again")
        assert gateway.ask(CHAT, BODY).status == 200
