"""The benchmarks' arithmetic: percentiles, the cost of a process tree, goals on both sides of their bounds."""

import os
import signal
import subprocess
import sys
from dataclasses import replace

import pytest

from benchmarks import gateway, priority
from benchmarks.measure import cpu_seconds, percentile, resident_mib, tree
from benchmarks.processes import uninterrupted

DIRECT = gateway.GatewayFigures(
    rate=40_000, p99_ms=5, cpu=0.03, first_p50_ms=10, first_p99_ms=11, gap_p99_ms=10, idle_mib=30
)
NGINX = replace(DIRECT, rate=20_000, cpu=0.02)
ROUTER = replace(DIRECT, rate=8_000)
# Exactly what every goal allows.
OURS = replace(DIRECT, rate=14_000, cpu=0.04, first_p99_ms=13, gap_p99_ms=10.5, idle_mib=63.9)
WAITED = priority.Outcome(
    chat_first_p50=2, chat_first_p95=4, chat_first_max=5, long_done_p50=3, all_done=6, refusals=0
)


@pytest.mark.parametrize(
    ("values", "percent", "expected"),
    [
        ([7.0], 99, 7.0),
        ([3.0, 1.0, 2.0], 50, 2.0),
        ([1.0, 2.0, 3.0, 4.0], 50, 2.0),
        ([float(n) for n in range(1, 101)], 99, 99.0),
        ([float(n) for n in range(1, 102)], 99, 100.0),
        ([1.0, 2.0], 0, 1.0),
        ([1.0, 2.0], 100, 2.0),
    ],
)
def test_a_percentile_is_the_smallest_value_that_so_many_do_not_exceed(
    values: list[float], percent: float, expected: float
) -> None:
    assert percentile(values, percent) == expected


def test_a_gateways_cost_is_that_of_all_its_processes() -> None:
    # It works, then its child does; both then wait for the end of standard input.
    work = "sum(i for i in range(3_000_000))"
    wait = "print(os.getpid(), flush=True); sys.stdin.read()"
    program = f"import os, sys; {work}; pid = os.fork(); pid or {work}; {wait}"
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        pids = {int(process.stdout.readline()), int(process.stdout.readline())}
        assert set(tree([process.pid])) == pids
        (child,) = pids - {process.pid}
        assert 0 < cpu_seconds([child]) < cpu_seconds([process.pid])
        assert 0 < resident_mib([child]) < resident_mib([process.pid])


def test_an_exited_process_has_no_children() -> None:
    done = subprocess.Popen([sys.executable, "-c", ""])
    done.wait()
    assert tree([done.pid]) == [done.pid]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_waits_until_a_started_process_is_known(number: signal.Signals) -> None:
    known = []

    def start() -> None:
        with uninterrupted():
            os.kill(os.getpid(), number)
            known.append("started")

    before = signal.getsignal(number)
    with pytest.raises(KeyboardInterrupt):
        start()
    assert known == ["started"]
    assert signal.getsignal(number) is before


def verdicts(ours: gateway.GatewayFigures) -> list[bool]:
    turns = {"direct": DIRECT, "ours": ours, "nginx": NGINX, "vllm-router": ROUTER}
    return [met for _, _, met in gateway.goals([turns])]


def test_a_gateway_at_every_bound_reaches_every_goal() -> None:
    assert verdicts(OURS) == [True] * 6


@pytest.mark.parametrize(
    ("figures", "missed"),
    [
        ({"rate": 13_990}, [0]),
        ({"rate": 11_990}, [0, 1]),
        ({"first_p99_ms": 13.01}, [2]),
        ({"gap_p99_ms": 10.51}, [3]),
        ({"cpu": 0.0401}, [4]),
        ({"idle_mib": 64.0}, [5]),
    ],
)
def test_a_gateway_beyond_a_bound_misses_that_goal(figures: dict[str, float], missed: list[int]) -> None:
    assert [n for n, met in enumerate(verdicts(replace(OURS, **figures))) if not met] == missed


def test_one_bad_round_of_three_does_not_decide() -> None:
    good = {"direct": DIRECT, "ours": OURS, "nginx": NGINX, "vllm-router": ROUTER}
    bad = {**good, "ours": replace(OURS, rate=100, first_p99_ms=500)}
    assert all(met for _, _, met in gateway.goals([good, bad, good]))
    assert not all(met for _, _, met in gateway.goals([bad, good, bad]))


def test_a_gateway_that_was_not_measured_is_not_compared() -> None:
    goals = gateway.goals([{"direct": DIRECT, "ours": OURS, "nginx": NGINX}])
    assert len(goals) == 5
    assert not any("vllm-router" in what for what, _, _ in goals)


@pytest.mark.parametrize(("waited", "met"), [(1.2, True), (1.21, False)])
def test_chats_wait_a_fraction_of_their_wait_in_order_of_arrival(waited: float, met: bool) -> None:
    turns = {"nginx, FIFO": WAITED, "ours": replace(WAITED, chat_first_p95=waited)}
    assert [reached for _, _, reached in priority.goals([turns])] == [met]


def test_only_clients_with_a_priority_send_one() -> None:
    priorities = [body["priority"] for _, body in priority.planned("m", client_priority=True)]
    assert priorities == [10] * priority.LONG_JOBS + [-10] * priority.CHATS
    assert not any("priority" in body for _, body in priority.planned("m", client_priority=False))
