"""Ten times what fits: what is admitted waits for one full queue, all others get a time to retry."""

import contextlib
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from engine_pair import EnginePair
from gateway_stack import CHAT, GatewayStack, running
from polling import until

from tierup.manifests.gateway_files import nginx_conf, retry_after_seconds
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


def finished_during(log: list[dict[str, Any]]) -> list[int]:
    """For each served request, how many others its engine finished between its arrival and its end.

    The log's times are Nginx's, in seconds with milliseconds: a client with so many threads would measure itself.
    """
    served = [line for line in log if line["status"] == "200"]
    ends = [(line["upstream"], float(line["time"]), float(line["seconds"])) for line in served]
    return [
        sum(engine == other and end - seconds < earlier < end for other, earlier, _ in ends)
        for engine, end, seconds in ends
    ]


def test_ten_times_the_bound_is_served_or_refused_and_nothing_else(
    engines: EnginePair, make_tier: Callable[..., Plan], tmp_path: Path
) -> None:
    plan = make_tier(gateway={"queueLength": QUEUE})
    stack = GatewayStack(plan, tmp_path / "gateway", {plan.models[0].slug: engines.addresses})
    stack.write_template(nginx_conf(plan, stack.environment).replace("$time_iso8601", "$msec"))
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
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert memory_kb(gateway) - before < GROWTH_KB
        assert wrong == []
        assert len(served) + len(refused) == CLIENTS
        assert set(refused) == {str(retry_after_seconds(plan, plan.models[0]))}
        assert len(served) >= SLOTS + QUEUE, "fewer requests were admitted than the limit allows"
        assert len(refused) > 0
        log = gateway.log_of(1 + CLIENTS)
        assert [line["status"] for line in log].count("429") == len(refused)
        # Counted, not timed, so that a busy machine changes nothing: what is admitted before it, and what runs beside
        # it. Without a bound it would be half of all clients.
        assert max(finished_during(log)) <= SLOTS + QUEUE + SLOTS
        until(lambda: engines.metric("vllm:num_requests_waiting") == 0, "the queue is empty again")
        assert gateway.ask(CHAT, BODY).status == 200
