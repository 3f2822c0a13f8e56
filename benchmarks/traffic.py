"""Decides what is sent and who answers: fake model servers and timed clients, both of tools/bench."""

import http.client
import json
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from benchmarks.measure import CommandFailed
from benchmarks.processes import Place, ask
from tierup.local.toolchain import tool

_READY_S = 60.0
PROMPT = "x" * 1000  # bytes: some 200 tokens
Body = dict[str, Any]


@dataclass(frozen=True)
class Target:
    """Where clients connect (in turn, to several), what they must send along, and whose cost is counted."""

    name: str
    addresses: tuple[str, ...]
    pids: tuple[int, ...]
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Backends:
    """Running fake model servers."""

    addresses: tuple[str, ...]
    pids: tuple[int, ...]

    def check(self) -> None:
        """Raises CommandFailed when one of them was asked something it does not know."""
        for address in self.addresses:
            status, told = ask(address, "GET", "/fake/counts")
            if status != http.client.OK or json.loads(told)["unknown"]:
                raise CommandFailed(f"a fake model server was asked what it does not know: {told.decode()}")


@dataclass(frozen=True)
class Loaded:
    """A load's outcome: answers and their times in milliseconds (first event, gaps between events: of streams)."""

    seconds: float
    took: list[float]
    first: list[float]
    gaps: list[float]


@dataclass(frozen=True)
class Done:
    """A job's outcome, in seconds: to its first event, and from the start of all to its end; 429s before that."""

    first: float
    done: float
    refusals: int


def start_backends(
    here: Place, model: str, *, gap_ms: int, slots: int = 0, order: str = "fifo", count: int = 2
) -> Backends:
    """Fake model servers: a token each `gap_ms`, `slots` requests at once (0: no bound), then `fifo` or `priority`."""
    options = ["-model", model, "-gap", f"{gap_ms}ms", "-slots", str(slots), "-order", order]
    addresses, pids = [], []
    for _ in range(count):
        process = here.start(
            "fake-backend", [str(tool("tierup-bench")), "fake-backend", *options], speaks=True
        )
        assert process.stdout is not None
        addresses.append(process.stdout.readline().strip())
        pids.append(process.pid)
    if not all(addresses):
        raise CommandFailed(f"a fake model server did not start:\n{here.told('fake-backend')}")
    return Backends(tuple(addresses), tuple(pids))


def chat(model: str, tokens: int, *, stream: bool, priority: int | None = None) -> Body:
    """The body of a chat request that asks for `tokens`."""
    messages = [{"role": "user", "content": PROMPT}]
    body = {"model": model, "messages": messages, "max_tokens": tokens, "stream": stream}
    return body if priority is None else {**body, "priority": priority}


def until_served(
    target: Target, model: str, processes: Sequence[subprocess.Popen[Any]], words: Callable[[], str]
) -> None:
    """Wait for a gateway's first answer to a chat; raises CommandFailed with its `words` if none comes."""
    deadline = time.monotonic() + _READY_S
    last, body = "no answer", chat(model, 1, stream=False)
    while time.monotonic() < deadline and all(one.poll() is None for one in processes):
        try:
            status, answer = ask(target.addresses[0], "POST", "/v1/chat/completions", body, target.headers)
            if status == http.client.OK:
                return
            last = f"status {status}: {answer[:300].decode(errors='replace')}"
        except (OSError, http.client.HTTPException) as error:
            last = str(error)
        time.sleep(0.05)
    raise CommandFailed(f"{target.name} did not serve a chat ({last}):\n{words()}")


def load(target: Target, body: Body, *, connections: int, seconds: float) -> Loaded:
    """Keep `connections` requests running; raises CommandFailed if one of them fails."""
    setting = {"connections": connections, "seconds": seconds, "body": body}
    told = json.loads(_client("load", target, setting))
    if told["failures"] or not told["answers"]:
        raise CommandFailed(f"{target.name}: {told['answers']} answers, failures: {told['failures']}")

    def ms(key: str) -> list[float]:
        return [us / 1000 for us in told[key] or []]

    return Loaded(told["seconds"], ms("took_us"), ms("first_us"), ms("gaps_us"))


def jobs(target: Target, planned: Sequence[tuple[float, Body]]) -> list[Done]:
    """Send each body at its time (seconds after the start), again when refused with 429 and Retry-After."""
    told = json.loads(_client("jobs", target, {"jobs": [{"at": at, "body": body} for at, body in planned]}))
    return [Done(job["first_us"] / 1e6, job["done_us"] / 1e6, job["refusals"]) for job in told]


@contextmanager
def idle(here: Place, target: Target, body: Body, *, connections: int) -> Iterator[None]:
    """Hold connections open that have each carried one request."""
    with (here.folder / "idle.log").open("ab") as log:
        process = subprocess.Popen(
            [str(tool("tierup-bench")), "idle"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
    with process:
        try:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(_setting(target, {"connections": connections, "body": body}))
            process.stdin.flush()
            if process.stdout.readline().strip() != str(connections):
                raise CommandFailed(f"{target.name}: idle connections: {here.told('idle')}")
            yield
        finally:
            process.kill()


def _client(command: str, target: Target, setting: Mapping[str, object]) -> str:
    words = [str(tool("tierup-bench")), command]
    done = subprocess.run(words, input=_setting(target, setting), capture_output=True, text=True, check=False)
    if done.returncode:
        raise CommandFailed(f"{target.name}: {done.stderr.strip()[-2000:]}")
    return done.stdout


def _setting(target: Target, setting: Mapping[str, object]) -> str:
    return json.dumps({"addresses": target.addresses, "headers": dict(target.headers), **setting})
