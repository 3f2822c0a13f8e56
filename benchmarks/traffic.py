"""Fake model servers and timed clients; both are programs of tools/bench."""

import http.client
import json
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from benchmarks.measure import CommandFailed
from benchmarks.processes import Workspace, ask
from tierup.local.toolchain import tool

_READY_S = 60.0
PROMPT = "x" * 1000  # bytes, about 200 tokens
Body = dict[str, Any]


@dataclass(frozen=True)
class Target:
    """The addresses that clients use in turn, the headers they must send, and the processes whose cost is counted."""

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
        """Raises CommandFailed if one of them got a request that it does not know."""
        for address in self.addresses:
            status, counts = ask(address, "GET", "/fake/counts")
            if status != http.client.OK or json.loads(counts)["unknown"]:
                raise CommandFailed(f"a fake model server got an unknown request: {counts.decode()}")


@dataclass(frozen=True)
class LoadResult:
    """Result of a load: times of the responses in milliseconds; `first` event and `gaps` between events of streams."""

    seconds: float
    took: list[float]
    first: list[float]
    gaps: list[float]


@dataclass(frozen=True)
class JobResult:
    """Result of a job: seconds to its first event, seconds from the common start to its end, number of 429s before."""

    first: float
    done: float
    refusals: int


def start_backends(
    workspace: Workspace, model: str, *, gap_ms: int, slots: int = 0, order: str = "fifo", count: int = 2
) -> Backends:
    """Start fake model servers: a token each `gap_ms`, `slots` concurrent requests (0: no limit), then by `order`."""
    options = ["-model", model, "-gap", f"{gap_ms}ms", "-slots", str(slots), "-order", order]
    addresses, pids = [], []
    for _ in range(count):
        process = workspace.start(
            "fake-backend", [str(tool("tierup-bench")), "fake-backend", *options], pipe_stdout=True
        )
        assert process.stdout is not None
        addresses.append(process.stdout.readline().strip())
        pids.append(process.pid)
    if not all(addresses):
        raise CommandFailed(f"a fake model server did not start:\n{workspace.log_tail('fake-backend')}")
    return Backends(tuple(addresses), tuple(pids))


def chat(model: str, tokens: int, *, stream: bool, priority: int | None = None) -> Body:
    """The body of a chat request that asks for `tokens`."""
    messages = [{"role": "user", "content": PROMPT}]
    body = {"model": model, "messages": messages, "max_tokens": tokens, "stream": stream}
    return body if priority is None else {**body, "priority": priority}


def until_served(
    target: Target, model: str, processes: Sequence[subprocess.Popen[Any]], log: Callable[[], str]
) -> None:
    """Wait for a gateway's first successful chat; raises CommandFailed with its `log` if there is none."""
    deadline = time.monotonic() + _READY_S
    last, body = "no response", chat(model, 1, stream=False)
    while time.monotonic() < deadline and all(process.poll() is None for process in processes):
        try:
            status, response = ask(target.addresses[0], "POST", "/v1/chat/completions", body, target.headers)
            if status == http.client.OK:
                return
            last = f"status {status}: {response[:300].decode(errors='replace')}"
        except (OSError, http.client.HTTPException) as error:
            last = str(error)
        time.sleep(0.05)
    raise CommandFailed(f"{target.name} did not serve a chat ({last}):\n{log()}")


def load(target: Target, body: Body, *, connections: int, seconds: float) -> LoadResult:
    """Keep `connections` requests running; raises CommandFailed if one of them fails."""
    setting = {"connections": connections, "seconds": seconds, "body": body}
    result = json.loads(_client("load", target, setting))
    if result["failures"] or not result["answers"]:
        raise CommandFailed(f"{target.name}: {result['answers']} responses, failures: {result['failures']}")

    def ms(key: str) -> list[float]:
        return [us / 1000 for us in result[key] or []]

    return LoadResult(result["seconds"], ms("took_us"), ms("first_us"), ms("gaps_us"))


def jobs(target: Target, planned: Sequence[tuple[float, Body]]) -> list[JobResult]:
    """Send each body at its time (seconds after the start), and retry it after a 429 with Retry-After."""
    results = json.loads(
        _client("jobs", target, {"jobs": [{"at": at, "body": body} for at, body in planned]})
    )
    return [JobResult(job["first_us"] / 1e6, job["done_us"] / 1e6, job["refusals"]) for job in results]


@contextmanager
def idle(workspace: Workspace, target: Target, body: Body, *, connections: int) -> Iterator[None]:
    """Keep connections open after one request each."""
    with (workspace.folder / "idle.log").open("ab") as log:
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
                raise CommandFailed(f"{target.name}: idle connections: {workspace.log_tail('idle')}")
            yield
        finally:
            process.kill()


def _client(command: str, target: Target, setting: Mapping[str, object]) -> str:
    arguments = [str(tool("tierup-bench")), command]
    result = subprocess.run(
        arguments, input=_setting(target, setting), capture_output=True, text=True, check=False
    )
    if result.returncode:
        raise CommandFailed(f"{target.name}: {result.stderr.strip()[-2000:]}")
    return result.stdout


def _setting(target: Target, setting: Mapping[str, object]) -> str:
    return json.dumps({"addresses": target.addresses, "headers": dict(target.headers), **setting})
