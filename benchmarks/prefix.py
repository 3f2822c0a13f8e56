"""Compare prefix balancing with least connections and with one engine, on real engines, in one run.

    python benchmarks/prefix.py             two rounds

Two vLLM servers run on this machine's CPU with a tiny model, in front of them our gateway. Conversations of several
turns share two system prompts, one of which most of them use. Each way of balancing gets the same conversations, with
texts of its own, so that nothing is cached from before. The table goes to standard output, followed by the figures as
one JSON line; goals are reported and never fail the run.
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
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks import gateways
from benchmarks.measure import CommandFailed, percentile
from benchmarks.processes import Workspace, ask, new_workspace
from benchmarks.report import goal, progress, rounded, run
from benchmarks.traffic import Backends, Target
from tierup.local.dev.cpu_engine import CpuEngine, container_of, options_of, stop_all
from tierup.local.dev.nginx import NginxProgram, current_nginx
from tierup.local.machine.vllm_on_cpu import KV_BYTES
from tierup.local.tiny_model import make_tiny_model
from tierup.local.toolchain import ToolchainError, engine_env
from tierup.plan.model import Plan
from tierup.stack.sections import Balance

SLOTS, QUEUE = 16, 16
# Large enough that computing a prompt takes longer than everything around it.
SHAPE = {"layers": 8, "hidden": 512, "q_heads": 8, "kv_heads": 2}
CONVERSATIONS, TURNS, AT_ONCE = 16, 5, 4
SYSTEM_TOKENS, QUESTION_TOKENS, ANSWER_TOKENS = 1000, 1200, 8  # the tokenizer makes a token of each byte
MINOR_SYSTEM_EVERY = 4  # each fourth conversation has the other system prompt
HEALTH_S = 400
MIN_HIT_TO_SINGLE, MAX_FIRST_TO_LEAST, MAX_P99_TO_LEAST, MAX_LOAD = 0.9, 0.6, 1.0, 1.25
WAYS = ("one engine", "least connections", "prefix")


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
        TemporaryDirectory(prefix="ngx-") as folder,
        engines(plan, workspace) as pair,
    ):
        nginx = current_nginx(Path(folder))
        targets = {way: opened(workspace, plan, pair, nginx, way) for way in WAYS}
        for number in range(rounds):
            first = number % len(WAYS)
            by_way = {}
            for way in WAYS[first:] + WAYS[:first]:
                by_way[way] = measure_way(targets[way], plan.models[0].name, pair, f"{number} {way}")
                progress(f"round {number + 1}: {way}: {by_way[way].hit_rate:.2f} cached")
            done.append(by_way)
    print_table(done)
    reached = [goal(*arguments) for arguments in goals(done)]
    figures = [{way: rounded(outcome) for way, outcome in by_way.items()} for by_way in done]
    return {"rounds": figures, "goals_met": reached}


@contextmanager
def engines(plan: Plan, workspace: Workspace) -> Iterator[list[CpuEngine]]:
    """Two healthy servers of the plan's model; raises CommandFailed if one does not start."""
    model, folder = plan.models[0], workspace.subfolder("engines")
    files = make_tiny_model(folder / "model", **SHAPE)
    started: list[CpuEngine] = []
    try:
        for name in ("a", "b"):
            container, options = container_of(plan, model), options_of(plan, model)
            python = engine_env.default().python()
            started.append(CpuEngine(python, container, files, 4 * KV_BYTES, folder / name, options=options))
        deadline = time.monotonic() + HEALTH_S
        while not all(engine.healthy() for engine in started):
            ended = [engine.log for engine in started if engine.process.poll() is not None]
            if ended or time.monotonic() > deadline:
                log = (ended[0] if ended else started[0].log).read_text(errors="replace")[-2000:]
                raise CommandFailed(f"an engine did not start:\n{log}")
            time.sleep(0.5)
        yield started
    finally:
        stop_all(started)


def opened(
    workspace: Workspace, plan: Plan, pair: Sequence[CpuEngine], nginx: NginxProgram, way: str
) -> Target:
    """The gateway that balances in this way."""
    balance = Balance.LEAST_CONNECTIONS if way == "least connections" else Balance.PREFIX
    balanced = replace(plan, gateway=replace(plan.gateway, balance=balance))
    used = pair[:1] if way == "one engine" else pair
    backends = Backends(tuple(engine.address for engine in used), ())
    return gateways.ours(workspace, backends, balanced, folder=way.replace(" ", "-"), program=nginx)


def measure_way(target: Target, model: str, pair: Sequence[CpuEngine], salt: str) -> Outcome:
    """Let all conversations take place, so many at once, and sample the engines meanwhile."""
    addresses = [engine.address for engine in pair]
    names = ("vllm:prefix_cache_hits_total", "vllm:prefix_cache_queries_total")
    before = [sum(counted(address, name) for address in addresses) for name in names]
    stop, samples = threading.Event(), [0.0 for _ in pair]
    sampler = threading.Thread(target=sample, args=(addresses, samples, stop))
    sampler.start()
    try:
        with ThreadPoolExecutor(AT_ONCE) as pool:
            talks = [pool.submit(converse, target, model, n, salt) for n in range(CONVERSATIONS)]
            firsts = [first for talk in talks for first in talk.result()]
    finally:
        stop.set()
        sampler.join()
    after = [sum(counted(address, name) for address in addresses) for name in names]
    hits, queries = (late - early for late, early in zip(after, before, strict=True))
    return Outcome(
        hits / queries,
        percentile(firsts, 50),
        percentile(firsts, 99),
        max(samples) / (sum(samples) / len(samples)) if sum(samples) else 1.0,
    )


def counted(address: str, metric: str) -> float:
    """The sum of a metric's series at an engine."""
    _, body = ask(address, "GET", "/metrics")
    values: list[str] = re.findall(rf"^{metric}(?:\{{.*\}})? (\S+)$", body.decode(), re.MULTILINE)
    return sum(map(float, values))


def sample(addresses: Sequence[str], sums: list[float], stop: threading.Event) -> None:
    """Add up the requests at each engine, five times a second."""
    while not stop.wait(0.2):
        for number, address in enumerate(addresses):
            for state in ("running", "waiting"):
                sums[number] += counted(address, f"vllm:num_requests_{state}")


def text(tokens: int, what: str) -> str:
    """A text of so many bytes, each of which is a token, that begins differently for each `what`."""
    return (f"{what}: " + "many words of the same kind " * (tokens // 20))[:tokens]


def converse(target: Target, model: str, number: int, salt: str) -> list[float]:
    """One conversation, turn by turn; returns each turn's time to the first token in ms."""
    system = "minor" if number % MINOR_SYSTEM_EVERY == 0 else "common"
    messages = [{"role": "system", "content": text(SYSTEM_TOKENS, f"{salt} {system}")}]
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


def goals(rounds: Sequence[Round]) -> list[tuple[str, str, bool]]:
    """The goals of prefix balancing, as the arguments of `report.goal`; compared within each round."""

    def ratio(figure: str, other: str) -> float:
        ratios: list[float] = [
            getattr(by_way["prefix"], figure) / getattr(by_way[other], figure) for by_way in rounds
        ]
        return statistics.median(ratios)

    hits = ratio("hit_rate", "one engine")
    first, last = (ratio(figure, "least connections") for figure in ("first_p50_ms", "first_p99_ms"))
    load = statistics.median(by_way["prefix"].busiest for by_way in rounds)
    return [
        (
            f"cached, of one engine's: {hits:.2f}x",
            f"at least {MIN_HIT_TO_SINGLE:g}x",
            hits >= MIN_HIT_TO_SINGLE,
        ),
        (
            f"time to first token p50, of least connections': {first:.2f}x",
            f"at most {MAX_FIRST_TO_LEAST:g}x",
            first <= MAX_FIRST_TO_LEAST,
        ),
        (
            f"time to first token p99, of least connections': {last:.2f}x",
            "at most 1x",
            last <= MAX_P99_TO_LEAST,
        ),
        (f"busiest engine, of the mean: {load:.2f}x", f"at most {MAX_LOAD:g}x", load <= MAX_LOAD),
    ]


def print_table(rounds: Sequence[Round]) -> None:
    """Print the medians of the rounds."""
    requests = CONVERSATIONS * TURNS
    print(
        f"\n{requests} requests of {CONVERSATIONS} conversations, {AT_ONCE} at once; medians of {len(rounds)} rounds"
    )
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
