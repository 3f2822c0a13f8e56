"""Decides nothing: reports how long a chat waits behind long jobs, by who orders the queue, in one run.

    python benchmarks/priority.py           three rounds

Two fake model servers with eight slots each; sixty long jobs come at once, then twenty chats. A job that is refused
comes again when the answer says so, and every job must be served: the table also tells what the long jobs pay. It goes
to standard output, the figures as one JSON line after it; goals are reported and never fail the run.
"""

import argparse
import statistics
import sys
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass
from functools import partial

from benchmarks import gateways
from benchmarks.measure import CommandFailed, percentile
from benchmarks.processes import place
from benchmarks.report import goal, rounded, run, say
from benchmarks.traffic import Body, chat, jobs, start_backends
from tierup.local.toolchain import ToolchainError
from tierup.plan.model import Plan

SLOTS, QUEUE = 8, 100  # per model server; all that come may wait
GAP_MS = 25
LONG_JOBS, LONG_TOKENS = (
    60,
    (48, 80),
)  # 1.2-2 s each, so that slots come free one by one; 6 s of work for all slots
CHATS, CHAT_TOKENS = 20, 8
FIRST_CHAT_S, CHAT_EVERY_S = 0.5, 0.1
LONG_PRIORITY, CHAT_PRIORITY = 10, -10  # vLLM's sign: lower goes first
MAX_TO_FIFO = 0.3


@dataclass(frozen=True)
class Way:
    """Who orders the waiting requests: the model servers' policy, the gateway, or what the client says."""

    order: str
    gateway: gateways.Maker
    told: bool = False  # clients send a priority: nobody stamps it for them


@dataclass(frozen=True)
class Outcome:
    """Seconds; refusals are 429s, all of which came again."""

    chat_first_p50: float
    chat_first_p95: float
    chat_first_max: float
    long_done_p50: float
    all_done: float
    refusals: int


Round = Mapping[str, Outcome]


def ways(plan: Plan) -> dict[str, Way]:
    """Who is compared, ours last."""
    (model,) = plan.models
    nginx = partial(gateways.nginx, model=model.name)
    found = {"nginx, FIFO": Way("fifo", nginx)}
    if gateways.has_haproxy():
        classed = partial(gateways.haproxy, model=model.name, slots=SLOTS)
        found["haproxy, priority class"] = Way("fifo", classed)
    found["nginx, engine priority"] = Way("priority", nginx, told=True)
    found["ours"] = Way("priority", partial(gateways.ours, plan=plan))
    return found


def measure(rounds: int) -> dict[str, object]:
    """`rounds` rounds of all ways, their table and goals; the first to go changes each round."""
    gateways.install()
    plan = gateways.plan_of(SLOTS, QUEUE)
    known = ways(plan)
    names = list(known)
    done: list[Round] = []
    for number in range(rounds):
        first = number % len(names)
        turns = {}
        for name in names[first:] + names[:first]:
            turns[name] = turn(known[name], plan)
            say(f"round {number + 1}: {name}: chats wait {turns[name].chat_first_p50:.2f} s")
        done.append(turns)
    print_table(names, done)
    reached = [goal(*told) for told in goals(done)]
    return {
        "rounds": [{name: rounded(turns[name]) for name in names} for turns in done],
        "goals_met": reached,
    }


def turn(way: Way, plan: Plan) -> Outcome:
    """One burst of long jobs and the chats after it, on servers and a gateway of its own."""
    (model,) = plan.models
    with place() as here:
        backends = start_backends(here, model.name, gap_ms=GAP_MS, slots=SLOTS, order=way.order)
        target = way.gateway(here, backends)
        finished = jobs(target, planned(model.name, way.told))
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


def planned(model: str, told: bool) -> list[tuple[float, Body]]:
    """When each request is sent, and its body: the long jobs, then the chats."""
    least, most = LONG_TOKENS
    lengths = [least + n % (most - least + 1) for n in range(LONG_JOBS)]
    long, short = (LONG_PRIORITY, CHAT_PRIORITY) if told else (None, None)
    first = [(0.0, chat(model, tokens, stream=True, priority=long)) for tokens in lengths]
    later = [FIRST_CHAT_S + n * CHAT_EVERY_S for n in range(CHATS)]
    return first + [(at, chat(model, CHAT_TOKENS, stream=True, priority=short)) for at in later]


def goals(rounds: Sequence[Round]) -> list[tuple[str, str, bool]]:
    """What ours is to reach, as the arguments of `report.goal`."""
    ratio = statistics.median(
        turns["ours"].chat_first_p95 / turns["nginx, FIFO"].chat_first_p95 for turns in rounds
    )
    what = f"chats' time to first token p95, of FIFO's: {ratio:.2f}x"
    return [(what, f"at most {MAX_TO_FIFO:g}x", ratio <= MAX_TO_FIFO)]


def print_table(names: Sequence[str], rounds: Sequence[Round]) -> None:
    """Medians of the rounds."""
    print(
        f"\n{LONG_JOBS} long jobs, then {CHATS} chats, {2 * SLOTS} slots; seconds, medians of {len(rounds)} rounds"
    )
    print(
        f"{'':<25}{'chat first p50':>15}{'p95':>7}{'max':>7}{'long done p50':>15}{'all done':>10}{'refusals':>10}"
    )
    for name in names:
        turns = [astuple(each[name]) for each in rounds]
        p50, p95, most, long, last, refusals = map(statistics.median, zip(*turns, strict=True))
        print(f"{name:<25}{p50:>15.2f}{p95:>7.2f}{most:>7.2f}{long:>15.2f}{last:>10.2f}{refusals:>10.0f}")


def main() -> int:
    """Run it; 1 when something could not be measured."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3, help="rounds, all counted (default: 3)")
    options = parser.parse_args()
    return run(partial(measure, options.rounds), (CommandFailed, ToolchainError))


if __name__ == "__main__":
    sys.exit(main())
