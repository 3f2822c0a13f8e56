"""Compare the gateway's cost with no gateway, plain Nginx, HAProxy and vllm-router in one run.

    python benchmarks/gateway.py            three rounds of five seconds a load
    python benchmarks/gateway.py --rounds 1 --seconds 1

All use the same fast fake model servers, and each round starts with another gateway. The table goes to standard
output, followed by the figures as one JSON line; goals are reported and never fail the run.
"""

import argparse
import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import astuple, dataclass
from functools import partial

from benchmarks import gateways
from benchmarks.measure import CommandFailed, cpu_seconds, percentile, resident_mib
from benchmarks.processes import Workspace, new_workspace
from benchmarks.report import goal, progress, rounded, run
from benchmarks.traffic import Target, chat, idle, load, start_backends
from tierup.local.toolchain import ToolchainError

CONNECTIONS = 50  # the standard tier's users, without pauses
IDLE = 1000
SLOTS, QUEUE = 64, 64  # of our gateway: all connections fit, so its limits are active but never refuse
STREAM_TOKENS, GAP_MS = 20, 10
MIN_RATE_TO_NGINX, MIN_RATE_TO_ROUTER = 0.7, 1.5
MAX_ADDED_FIRST_MS = 2.0
MAX_GAP_TO_DIRECT = 1.05
MAX_CPU_TO_NGINX = 2.0
MAX_IDLE_MIB = 64.0


@dataclass(frozen=True)
class GatewayFigures:
    """One gateway's figures in one round; for `direct`, CPU and memory are the model servers' own."""

    rate: float  # responses a second, without streams
    p99_ms: float
    cpu: float  # seconds per 1,000 of these
    first_p50_ms: float
    first_p99_ms: float
    gap_p99_ms: float
    idle_mib: float


Round = Mapping[str, GatewayFigures]


def measure(rounds: int, seconds: float, current: bool) -> dict[str, object]:
    """Measure all gateways `rounds` times, print the table and the goals, return the figures."""
    gateways.install()
    plan = gateways.plan_of(SLOTS, QUEUE)
    (model,) = plan.models
    with new_workspace() as workspace:
        backends = start_backends(workspace, model.name, gap_ms=GAP_MS)
        program = gateways.nginx_of(workspace, current=current)
        targets = [make(workspace, backends) for make in gateways.all_gateways(plan, program)]
        done: list[Round] = []
        for number in range(rounds):
            first = number % len(targets)
            by_gateway = {}
            for target in targets[first:] + targets[:first]:
                by_gateway[target.name] = measure_gateway(workspace, target, model.name, seconds)
                backends.check()
                progress(f"round {number + 1}: {target.name}: {by_gateway[target.name].rate:,.0f} requests/s")
            done.append(by_gateway)
    print_table([target.name for target in targets], done)
    reached = [goal(*arguments) for arguments in goals(done)]
    figures = [{name: rounded(one) for name, one in by_gateway.items()} for by_gateway in done]
    return {"seconds": seconds, "connections": CONNECTIONS, "rounds": figures, "goals_met": reached}


def measure_gateway(workspace: Workspace, target: Target, model: str, seconds: float) -> GatewayFigures:
    """Measure complete responses, then streams, then idle connections."""
    request, stream = chat(model, 1, stream=False), chat(model, STREAM_TOKENS, stream=True)
    load(target, request, connections=CONNECTIONS, seconds=seconds / 10)
    before = cpu_seconds(target.pids)
    plain = load(target, request, connections=CONNECTIONS, seconds=seconds)
    cpu = cpu_seconds(target.pids) - before
    streamed = load(target, stream, connections=CONNECTIONS, seconds=seconds)
    with idle(workspace, target, request, connections=IDLE):
        resident = resident_mib(target.pids)
    return GatewayFigures(
        rate=len(plain.took) / plain.seconds,
        p99_ms=percentile(plain.took, 99),
        cpu=cpu / len(plain.took) * 1000,
        first_p50_ms=percentile(streamed.first, 50),
        first_p99_ms=percentile(streamed.first, 99),
        gap_p99_ms=percentile(streamed.gaps, 99),
        idle_mib=resident,
    )


def median_over_rounds(rounds: Sequence[Round], of: Callable[[Round], float]) -> float:
    """A figure's median over the rounds; comparisons are made within each round."""
    return statistics.median(of(by_gateway) for by_gateway in rounds)


def goals(rounds: Sequence[Round]) -> list[tuple[str, str, bool]]:
    """Our gateway's goals, as the arguments of `report.goal`; without those against a gateway that was not measured."""

    def ratio(figure: str, other: str) -> float:
        return median_over_rounds(
            rounds,
            lambda by_gateway: getattr(by_gateway["ours"], figure) / getattr(by_gateway[other], figure),
        )

    rate, cpu, gap = ratio("rate", "nginx"), ratio("cpu", "nginx"), ratio("gap_p99_ms", "direct")
    added = median_over_rounds(
        rounds, lambda by_gateway: by_gateway["ours"].first_p99_ms - by_gateway["direct"].first_p99_ms
    )
    resident = median_over_rounds(rounds, lambda by_gateway: by_gateway["ours"].idle_mib)
    results = [
        (
            f"requests/s, of plain Nginx's: {rate:.2f}x",
            f"at least {MIN_RATE_TO_NGINX:g}x",
            rate >= MIN_RATE_TO_NGINX,
        )
    ]
    if "vllm-router" in rounds[0]:
        rate = ratio("rate", "vllm-router")
        target = f"at least {MIN_RATE_TO_ROUTER:g}x"
        results += [(f"requests/s, of vllm-router's: {rate:.2f}x", target, rate >= MIN_RATE_TO_ROUTER)]
    return [
        *results,
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
    """Print the medians of the rounds."""
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
        by_gateway = [astuple(each[name]) for each in rounds]
        rate, p99, cpu, first, first_p99, gap, mib = map(statistics.median, zip(*by_gateway, strict=True))
        print(
            f"{name:<14}{rate:>8,.0f}{p99:>8.1f}{cpu:>12.4f}{first:>11.2f}{first_p99:>8.2f}{gap:>9.2f}{mib:>10.0f}"
        )


def main() -> int:
    """Run the benchmark; returns 1 if something could not be measured."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3, help="rounds, all counted (default: 3)")
    parser.add_argument("--seconds", type=float, default=5.0, help="length of each load (default: 5)")
    parser.add_argument(
        "--current-nginx", action="store_true", help="Nginx of Debian 13, which pods of a real node run"
    )
    options = parser.parse_args()
    return run(
        partial(measure, options.rounds, options.seconds, options.current_nginx),
        (CommandFailed, ToolchainError),
    )


if __name__ == "__main__":
    sys.exit(main())
