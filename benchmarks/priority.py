"""Compare how long a chat waits behind long jobs under different queue policies, in one run.

    python benchmarks/priority.py           three rounds

Two fake model servers have eight slots each; sixty long jobs arrive at once, then twenty chats. A refused job is
retried after Retry-After, and every job must be served, so the table also shows the delay of the long jobs. The table
goes to standard output, followed by the figures as one JSON line; goals are reported and never fail the run.
"""

import argparse
import statistics
import sys
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass
from functools import partial

from benchmarks import gateways
from benchmarks.measure import CommandFailed, percentile
from benchmarks.processes import new_workspace
from benchmarks.report import goal, progress, rounded, run
from benchmarks.traffic import Body, chat, jobs, start_backends
from tierup.local.toolchain import ToolchainError
from tierup.local.toolchain.nginx import toolchain_nginx
from tierup.plan.model import Plan

SLOTS, QUEUE = 8, 100  # slots per model server; all requests may wait
GAP_MS = 25
LONG_JOBS = 60
LONG_TOKENS = (48, 80)  # 1.2-2 s each, so that slots become free one by one; 6 s of work for all slots
CHATS, CHAT_TOKENS = 20, 8
FIRST_CHAT_S, CHAT_EVERY_S = 0.5, 0.1
LONG_PRIORITY, CHAT_PRIORITY = 10, -10  # vLLM's sign: lower goes first
MAX_TO_FIFO = 0.3


@dataclass(frozen=True)
class QueuePolicy:
    """What orders the waiting requests: the model servers' policy, the gateway, or the client's priority."""

    order: str
    gateway: gateways.Maker
    client_priority: bool = False  # clients send a priority, because the gateway sets none


@dataclass(frozen=True)
class Outcome:
    """Times in seconds; refusals are 429s, all of which were retried."""

    chat_first_p50: float
    chat_first_p95: float
    chat_first_max: float
    long_done_p50: float
    all_done: float
    refusals: int


Round = Mapping[str, Outcome]


def queue_policies(plan: Plan) -> dict[str, QueuePolicy]:
    """The policies to compare, ours last."""
    (model,) = plan.models
    program = toolchain_nginx()
    nginx = partial(gateways.nginx, model=model.name, program=program)
    policies = {"nginx, FIFO": QueuePolicy("fifo", nginx)}
    if gateways.has_haproxy():
        classed = partial(gateways.haproxy, model=model.name, slots=SLOTS)
        policies["haproxy, priority class"] = QueuePolicy("fifo", classed)
    policies["nginx, engine priority"] = QueuePolicy("priority", nginx, client_priority=True)
    policies["ours"] = QueuePolicy("priority", partial(gateways.ours, plan=plan, program=program))
    return policies


def measure(rounds: int) -> dict[str, object]:
    """Measure all policies `rounds` times, each round starting with another one; returns the figures."""
    gateways.install()
    plan = gateways.plan_of(SLOTS, QUEUE)
    policies_by_name = queue_policies(plan)
    names = list(policies_by_name)
    done: list[Round] = []
    for number in range(rounds):
        first = number % len(names)
        by_policy = {}
        for name in names[first:] + names[:first]:
            by_policy[name] = measure_policy(policies_by_name[name], plan)
            progress(f"round {number + 1}: {name}: chats wait {by_policy[name].chat_first_p50:.2f} s")
        done.append(by_policy)
    print_table(names, done)
    reached = [goal(*arguments) for arguments in goals(done)]
    return {
        "rounds": [{name: rounded(by_policy[name]) for name in names} for by_policy in done],
        "goals_met": reached,
    }


def measure_policy(policy: QueuePolicy, plan: Plan) -> Outcome:
    """Run one burst of long jobs and the chats after it, with new servers and a new gateway."""
    (model,) = plan.models
    with new_workspace() as workspace:
        backends = start_backends(workspace, model.name, gap_ms=GAP_MS, slots=SLOTS, order=policy.order)
        target = policy.gateway(workspace, backends)
        finished = jobs(target, planned(model.name, policy.client_priority))
        backends.check()
    long, chats = finished[:LONG_JOBS], finished[LONG_JOBS:]
    firsts = [job.first for job in chats]
    return Outcome(
        chat_first_p50=percentile(firsts, 50),
        chat_first_p95=percentile(firsts, 95),
        chat_first_max=max(firsts),
        long_done_p50=percentile([job.done for job in long], 50),
        all_done=max(job.done for job in finished),
        refusals=sum(job.refusals for job in finished),
    )


def planned(model: str, client_priority: bool) -> list[tuple[float, Body]]:
    """The send time in seconds and the body of each request: the long jobs, then the chats."""
    least, most = LONG_TOKENS
    lengths = [least + n % (most - least + 1) for n in range(LONG_JOBS)]
    long, short = (LONG_PRIORITY, CHAT_PRIORITY) if client_priority else (None, None)
    first = [(0.0, chat(model, tokens, stream=True, priority=long)) for tokens in lengths]
    later = [FIRST_CHAT_S + n * CHAT_EVERY_S for n in range(CHATS)]
    return first + [(at, chat(model, CHAT_TOKENS, stream=True, priority=short)) for at in later]


def goals(rounds: Sequence[Round]) -> list[tuple[str, str, bool]]:
    """Our gateway's goals, as the arguments of `report.goal`."""
    ratio = statistics.median(
        by_policy["ours"].chat_first_p95 / by_policy["nginx, FIFO"].chat_first_p95 for by_policy in rounds
    )
    what = f"chats' time to first token p95, of FIFO's: {ratio:.2f}x"
    return [(what, f"at most {MAX_TO_FIFO:g}x", ratio <= MAX_TO_FIFO)]


def print_table(names: Sequence[str], rounds: Sequence[Round]) -> None:
    """Print the medians of the rounds."""
    print(
        f"\n{LONG_JOBS} long jobs, then {CHATS} chats, {2 * SLOTS} slots; seconds, medians of {len(rounds)} rounds"
    )
    print(
        f"{'':<25}{'chat first p50':>15}{'p95':>7}{'max':>7}{'long done p50':>15}{'all done':>10}{'refusals':>10}"
    )
    for name in names:
        by_policy = [astuple(each[name]) for each in rounds]
        p50, p95, most, long, last, refusals = map(statistics.median, zip(*by_policy, strict=True))
        print(f"{name:<25}{p50:>15.2f}{p95:>7.2f}{most:>7.2f}{long:>15.2f}{last:>10.2f}{refusals:>10.0f}")


def main() -> int:
    """Run the benchmark; returns 1 if something could not be measured."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3, help="rounds, all counted (default: 3)")
    options = parser.parse_args()
    return run(partial(measure, options.rounds), (CommandFailed, ToolchainError))


if __name__ == "__main__":
    sys.exit(main())
