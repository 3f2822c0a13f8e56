"""Compare prefix balancing with least connections and with one engine, on real engines, in one run.

    python -m benchmarks.prefix --rounds 2

Two vLLM servers run on this machine's CPU with a tiny model, in front of them our gateway. Conversations of several
turns share a system prompt. Each way of balancing gets the same conversations, with texts of its own, so that nothing
is cached from before. The table goes to standard output, followed by the figures as one JSON line; goals are reported
and never fail the run.
"""

import argparse
import http.client
import json
import re
import statistics
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import astuple, dataclass, replace
from functools import partial

from benchmarks import gateways
from benchmarks.measure import CommandFailed, percentile
from benchmarks.processes import Workspace, ask, new_workspace
from benchmarks.report import goal, progress, rounded, run
from benchmarks.traffic import Backends, Target
from tierup.local.dev.cpu_engine import CpuEngine, container_of, options_of, stop_all
from tierup.local.machine.vllm_on_cpu import KV_BYTES
from tierup.local.tiny_model import make_tiny_model
from tierup.local.toolchain import ToolchainError, engine_env
from tierup.local.toolchain.nginx import current_nginx
from tierup.plan.model import Plan
from tierup.stack.sections import Balance

SLOTS, QUEUE = 16, 16
# Large enough that computing a prompt takes longer than everything around it.
SHAPE = {"layers": 8, "hidden": 512, "q_heads": 8, "kv_heads": 2}
CONVERSATIONS, TURNS, AT_ONCE = 16, 5, 8
SYSTEM_TOKENS, QUESTION_TOKENS, ANSWER_TOKENS = 500, 700, 4  # the tokenizer makes a token of each byte
HEALTH_S = 900  # also on a very busy machine
HITS, ASKED = "vllm:prefix_cache_hits_total", "vllm:prefix_cache_queries_total"
ONE, LEAST, PREFIX = WAYS = ("one engine", "least connections", "prefix")


@dataclass(frozen=True)
class Outcome:
    """Share of the prompt tokens that were cached; times to the first token in ms; the load of the busiest engine.

    `busiest` is its requests in flight, running and waiting, over all samples, as a multiple of the engines' mean.
    """

    hit_rate: float
    first_p50_ms: float
    first_p99_ms: float
    busiest: float


Round = Mapping[str, Outcome]


def measure(rounds: int) -> dict[str, object]:
    """Measure all ways `rounds` times, each round starting with another one; returns the figures."""
    gateways.install()
    plan = gateways.plan_of(SLOTS, QUEUE)
    done: list[Round] = []
    with (
        new_workspace() as workspace,
        current_nginx() as nginx,
        engines(plan, workspace) as addresses,
    ):
        for number in range(rounds):
            first = number % len(WAYS)
            by_way = {}
            for way in WAYS[first:] + WAYS[:first]:
                used = addresses[:1] if way == ONE else addresses
                balance = Balance.PREFIX if way == PREFIX else Balance.LEAST_CONNECTIONS
                balanced = replace(plan, gateway=replace(plan.gateway, balance=balance))
                name = f"{number}-{way.replace(' ', '-')}"
                target = gateways.ours(workspace, Backends(used, ()), balanced, nginx, name)
                by_way[way] = measure_way(target, plan.models[0].name, used)
                progress(f"round {number + 1}: {way}: {by_way[way]}")
            done.append(by_way)
    print_table(done)
    reached = goals(done)
    figures = [{way: rounded(outcome) for way, outcome in by_way.items()} for by_way in done]
    return {"rounds": figures, "goals_met": reached}


@contextmanager
def engines(plan: Plan, workspace: Workspace) -> Iterator[tuple[str, ...]]:
    """The addresses of two healthy servers of the plan's model; raises CommandFailed if one does not start."""
    model, folder = plan.models[0], workspace.subfolder("engines")
    files, python = make_tiny_model(folder / "model", **SHAPE), engine_env.default().python()
    container, options = container_of(plan, model), options_of(plan, model)
    started: list[CpuEngine] = []
    try:
        started.extend(
            CpuEngine(python, container, files, 4 * KV_BYTES, folder / name, options=options)
            for name in ("a", "b")
        )
        deadline = time.monotonic() + HEALTH_S
        while not all(engine.healthy() for engine in started):
            ended = [engine for engine in started if engine.process.poll() is not None]
            if ended or time.monotonic() > deadline:
                log = (ended or started)[0].log.read_text(errors="replace")
                raise CommandFailed(f"an engine did not start:\n{log[-2000:]}")
            time.sleep(0.5)
        yield tuple(engine.address for engine in started)
    finally:
        stop_all(started)


def measure_way(target: Target, model: str, addresses: Sequence[str]) -> Outcome:
    """Let all conversations take place, so many at once, and sample the engines meanwhile."""

    def total(metric: str) -> float:
        return sum(counted(address, metric) for address in addresses)

    before = total(HITS), total(ASKED)
    stop, samples = threading.Event(), [0.0 for _ in addresses]
    sampler = threading.Thread(target=sample, args=(addresses, samples, stop))
    sampler.start()
    try:
        with ThreadPoolExecutor(AT_ONCE) as pool:
            talks = [pool.submit(converse, target, model, number) for number in range(CONVERSATIONS)]
            firsts = [first for talk in talks for first in talk.result()]
    finally:
        stop.set()
        sampler.join()
    hit_rate = (total(HITS) - before[0]) / (total(ASKED) - before[1])
    busiest = max(samples) * len(samples) / sum(samples) if sum(samples) else 1.0
    return Outcome(hit_rate, percentile(firsts, 50), percentile(firsts, 99), busiest)


def counted(address: str, metric: str) -> float:
    """The sum of a metric's series at an engine."""
    _, body = ask(address, "GET", "/metrics")
    values: list[str] = re.findall(rf"^{metric}(?:\{{.*\}})? (\S+)$", body.decode(), re.MULTILINE)
    return sum(map(float, values))


def sample(addresses: Sequence[str], sums: list[float], stop: threading.Event) -> None:
    """Add up the requests at each engine, four times a second."""
    while not stop.wait(0.25):
        for number, address in enumerate(addresses):
            for state in ("running", "waiting"):
                sums[number] += counted(address, f"vllm:num_requests_{state}")


def text(tokens: int, start: str) -> str:
    """A text of so many bytes, each of which is a token."""
    return (f"{start}: " + "many words of the same kind " * (tokens // 20))[:tokens]


def converse(target: Target, model: str, number: int) -> list[float]:
    """One conversation, turn by turn; returns each turn's time to the first token in ms."""
    messages = [{"role": "system", "content": text(SYSTEM_TOKENS, target.name)}]
    firsts = []
    for turn in range(TURNS):
        messages.append({"role": "user", "content": text(QUESTION_TOKENS, f"{number}.{turn}")})
        first, answer = streamed(target, {"model": model, "messages": messages, "max_tokens": ANSWER_TOKENS})
        firsts.append(first)
        messages.append({"role": "assistant", "content": answer})
    return firsts


def streamed(target: Target, body: dict[str, object]) -> tuple[float, str]:
    """The time to the first token in ms, and the answer; raises CommandFailed without one."""
    connection = http.client.HTTPConnection(target.addresses[0], timeout=300)
    try:
        started = time.monotonic()
        headers = {"Content-Type": "application/json", **target.headers}
        fields = {**body, "stream": True, "ignore_eos": True, "temperature": 0}
        connection.request("POST", "/v1/chat/completions", json.dumps(fields), headers)
        response = connection.getresponse()
        if response.status != http.client.OK:
            raise CommandFailed(f"{target.name}: status {response.status}: {response.read(300)!r}")
        first: float | None = None
        parts: list[str] = []
        for line in response:
            event = line.decode().removeprefix("data: ").strip()
            choices = json.loads(event)["choices"] if event.startswith("{") else []
            if choices:  # the engine sends the first one with the first token
                first = first if first is not None else (time.monotonic() - started) * 1000
                parts.append(choices[0]["delta"].get("content") or "")
        if first is None:
            raise CommandFailed(f"{target.name}: a stream without an answer")
        return first, "".join(parts)
    finally:
        connection.close()


def goals(rounds: Sequence[Round]) -> list[bool]:
    """Print the goals of prefix balancing, compared within each round; returns which are met."""

    def ratio(figure: str, other: str) -> float:
        """The median over the rounds."""
        pairs = [(getattr(by_way[PREFIX], figure), getattr(by_way[other], figure)) for by_way in rounds]
        return float(statistics.median(own / its for own, its in pairs))

    hits = ratio("hit_rate", ONE)
    p50, p99 = (ratio(figure, LEAST) for figure in ("first_p50_ms", "first_p99_ms"))
    load = statistics.median(by_way[PREFIX].busiest for by_way in rounds)
    return [
        goal(f"cached, of one engine's: {hits:.2f}x", "at least 0.9x", hits >= 0.9),
        goal(f"time to first token p50, of least connections': {p50:.2f}x", "at most 0.6x", p50 <= 0.6),
        goal(f"time to first token p99, of least connections': {p99:.2f}x", "at most 1x", p99 <= 1),
        goal(f"busiest engine, of the mean: {load:.2f}x", "at most 1.25x", load <= 1.25),
    ]


def print_table(rounds: Sequence[Round]) -> None:
    """Print the medians of the rounds."""
    requests = CONVERSATIONS * TURNS
    print(f"\n{requests} requests, {AT_ONCE} conversations at once; medians of {len(rounds)} rounds")
    print(f"{'':<20}{'cached':>8}{'first p50 ms':>14}{'p99 ms':>9}{'busiest':>9}")
    for way in WAYS:
        outcomes = [astuple(by_way[way]) for by_way in rounds]
        hits, p50, p99, busiest = map(statistics.median, zip(*outcomes, strict=True))
        print(f"{way:<20}{hits:>8.2f}{p50:>14.0f}{p99:>9.0f}{busiest:>9.2f}")


def main() -> int:
    """Run the benchmark; returns 1 if something could not be measured."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=2, help="rounds, all counted (default: 2)")
    options = parser.parse_args()
    return run(partial(measure, options.rounds), (CommandFailed, ToolchainError))


if __name__ == "__main__":
    sys.exit(main())
