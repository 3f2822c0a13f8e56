"""Decides nothing: reports what the gateway costs, against none, plain Nginx, HAProxy and vllm-router, in one run.

    python benchmarks/gateway.py            three rounds of five seconds a load
    python benchmarks/gateway.py --rounds 1 --seconds 1

Fast fake model servers stand behind all of them, and the first to go changes each round. A table goes to standard
output, the figures as one JSON line after it; goals are reported and never fail the run.
"""

import argparse
import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import astuple, dataclass
from functools import partial

from benchmarks import gateways
from benchmarks.measure import CommandFailed, cpu_seconds, percentile, resident_mib
from benchmarks.processes import Place, place
from benchmarks.report import goal, rounded, run, say
from benchmarks.traffic import Target, chat, idle, load, start_backends
from tierup.local.toolchain import ToolchainError

CONNECTIONS = 50  # the standard tier's users, none of them pausing to read
IDLE = 1000
SLOTS, QUEUE = 64, 64  # of ours: all connections fit, so that its limits count and never refuse
STREAM_TOKENS, GAP_MS = 20, 10
MIN_RATE_TO_NGINX, MIN_RATE_TO_ROUTER = 0.7, 1.5
MAX_ADDED_FIRST_MS = 2.0
MAX_GAP_TO_DIRECT = 1.05
MAX_CPU_TO_NGINX = 2.0
MAX_IDLE_MIB = 64.0


@dataclass(frozen=True)
class Turn:
    """One gateway's figures of one round; of `direct`, CPU and memory are the model servers' own."""

    rate: float  # answers a second, without streams
    p99_ms: float
    cpu: float  # seconds per 1,000 of them
    first_p50_ms: float
    first_p99_ms: float
    gap_p99_ms: float
    idle_mib: float


Round = Mapping[str, Turn]


def measure(rounds: int, seconds: float) -> dict[str, object]:
    """`rounds` rounds of all gateways, their table and goals."""
    gateways.install()
    plan = gateways.plan_of(SLOTS, QUEUE)
    (model,) = plan.models
    with place() as here:
        backends = start_backends(here, model.name, gap_ms=GAP_MS)
        targets = [make(here, backends) for make in gateways.all_gateways(plan)]
        done: list[Round] = []
        for number in range(rounds):
            first = number % len(targets)
            turns = {}
            for target in targets[first:] + targets[:first]:
                turns[target.name] = turn(here, target, model.name, seconds)
                backends.check()
                say(f"round {number + 1}: {target.name}: {turns[target.name].rate:,.0f} requests/s")
            done.append(turns)
    print_table([target.name for target in targets], done)
    reached = [goal(*told) for told in goals(done)]
    figures = [{name: rounded(turn) for name, turn in turns.items()} for turns in done]
    return {"seconds": seconds, "connections": CONNECTIONS, "rounds": figures, "goals_met": reached}


def turn(here: Place, target: Target, model: str, seconds: float) -> Turn:
    """Answers in one piece, then streams, then connections that do nothing."""
    ask, stream = chat(model, 1, stream=False), chat(model, STREAM_TOKENS, stream=True)
    load(target, ask, connections=CONNECTIONS, seconds=seconds / 10)
    before = cpu_seconds(target.pids)
    asked = load(target, ask, connections=CONNECTIONS, seconds=seconds)
    cpu = cpu_seconds(target.pids) - before
    streamed = load(target, stream, connections=CONNECTIONS, seconds=seconds)
    with idle(here, target, ask, connections=IDLE):
        resident = resident_mib(target.pids)
    return Turn(
        rate=len(asked.took) / asked.seconds,
        p99_ms=percentile(asked.took, 99),
        cpu=cpu / len(asked.took) * 1000,
        first_p50_ms=percentile(streamed.first, 50),
        first_p99_ms=percentile(streamed.first, 99),
        gap_p99_ms=percentile(streamed.gaps, 99),
        idle_mib=resident,
    )


def middle(rounds: Sequence[Round], of: Callable[[Round], float]) -> float:
    """A figure's median over the rounds; comparisons are made inside each round."""
    return statistics.median(of(turns) for turns in rounds)


def goals(rounds: Sequence[Round]) -> list[tuple[str, str, bool]]:
    """What ours is to reach, as the arguments of `report.goal`; a goal against someone left out is left out."""

    def ratio(figure: str, other: str) -> float:
        return middle(rounds, lambda turns: getattr(turns["ours"], figure) / getattr(turns[other], figure))

    rate, cpu, gap = ratio("rate", "nginx"), ratio("cpu", "nginx"), ratio("gap_p99_ms", "direct")
    added = middle(rounds, lambda turns: turns["ours"].first_p99_ms - turns["direct"].first_p99_ms)
    resident = middle(rounds, lambda turns: turns["ours"].idle_mib)
    told = [
        (
            f"requests/s, of plain Nginx's: {rate:.2f}x",
            f"at least {MIN_RATE_TO_NGINX:g}x",
            rate >= MIN_RATE_TO_NGINX,
        )
    ]
    if "vllm-router" in rounds[0]:
        rate = ratio("rate", "vllm-router")
        wanted = f"at least {MIN_RATE_TO_ROUTER:g}x"
        told += [(f"requests/s, of vllm-router's: {rate:.2f}x", wanted, rate >= MIN_RATE_TO_ROUTER)]
    return [
        *told,
        (
            f"time to first token p99, above direct's: {added:.2f} ms",
            f"at most {MAX_ADDED_FIRST_MS:g} ms",
            added <= MAX_ADDED_FIRST_MS,
        ),
        (
            f"gap between tokens p99, of direct's: {gap:.3f}x",
            f"at most {MAX_GAP_TO_DIRECT:g}x",
            gap <= MAX_GAP_TO_DIRECT,
        ),
        (
            f"CPU per request, of plain Nginx's: {cpu:.2f}x",
            f"at most {MAX_CPU_TO_NGINX:g}x",
            cpu <= MAX_CPU_TO_NGINX,
        ),
        (
            f"resident with {IDLE:,} idle connections: {resident:.0f} MiB",
            f"below {MAX_IDLE_MIB:g} MiB",
            resident < MAX_IDLE_MIB,
        ),
    ]


def print_table(names: Sequence[str], rounds: Sequence[Round]) -> None:
    """Medians of the rounds."""
    print(f"\n{CONNECTIONS} connections, two fake model servers; medians of {len(rounds)} rounds")
    heads = (
        ("req/s", 8),
        ("p99 ms", 8),
        ("CPU s/1000", 12),
        ("first p50", 11),
        ("p99 ms", 8),
        ("gap p99", 9),
        ("idle MiB", 10),
    )
    print(f"{'':<14}" + "".join(f"{head:>{width}}" for head, width in heads))
    for name in names:
        turns = [astuple(each[name]) for each in rounds]
        rate, p99, cpu, first, first_p99, gap, mib = map(statistics.median, zip(*turns, strict=True))
        print(
            f"{name:<14}{rate:>8,.0f}{p99:>8.1f}{cpu:>12.4f}{first:>11.2f}{first_p99:>8.2f}{gap:>9.2f}{mib:>10.0f}"
        )


def main() -> int:
    """Run it; 1 when something could not be measured."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3, help="rounds, all counted (default: 3)")
    parser.add_argument("--seconds", type=float, default=5.0, help="length of each load (default: 5)")
    options = parser.parse_args()
    return run(partial(measure, options.rounds, options.seconds), (CommandFailed, ToolchainError))


if __name__ == "__main__":
    sys.exit(main())
