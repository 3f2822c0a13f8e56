"""Engines are killed, fail, are slow, hang and come back; clients without a started response notice nothing.

The engines are fakes, as processes; Nginx, the reloader and the configuration are the plan's own.
"""

import contextlib
import dataclasses
import http.client
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import reloader_rules
from fake_backend import BackendProcess, FakeBackend
from gateway_stack import CHAT, GatewayStack, running
from polling import until

from tierup.manifests.gateway_files import PROBE, nginx_conf
from tierup.plan.model import Plan

BODY = {"messages": [{"role": "user", "content": "hello"}]}
BACK_SECONDS = (
    2.0  # how soon an engine that returned is used again: a second of ejection, and the next request
)
SHARE_SECONDS = 10.0  # how soon a new engine has its share
SLACK_SECONDS = 8.0  # what a busy machine adds to both


@dataclass
class Load:
    """Clients that send requests without a pause; every status is counted."""

    gateway: GatewayStack
    clients: int = 8
    statuses: list[int] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def __enter__(self) -> "Load":
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._client) for _ in range(self.clients)]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def more(self, count: int) -> None:
        """Wait for so many more responses."""
        goal = len(self.statuses) + count
        until(lambda: len(self.statuses) >= goal, f"{count} more answers")

    def _client(self) -> None:
        while not self._over.is_set():
            try:
                self.statuses.append(self.gateway.ask(CHAT, BODY).status)
            except (OSError, http.client.HTTPException) as error:
                self.errors.append(repr(error))


def before(
    engines: Sequence[FakeBackend | BackendProcess],
    plan: Plan,
    folder: Path,
    keys: Mapping[str, Sequence[str]] | None = None,
) -> AbstractContextManager[GatewayStack]:
    """The plan's gateway in front of these engines of its only model."""
    addresses = {plan.models[0].slug: [engine.address for engine in engines]}
    return running(GatewayStack(plan, folder / "gateway", addresses, keys))


@contextlib.contextmanager
def impatient(
    seconds: int, engines: Sequence[FakeBackend | BackendProcess], plan: Plan, folder: Path
) -> Iterator[GatewayStack]:
    """The same with a short read timeout; the policy is that of the plan's own, which admits longer answers."""
    addresses = {plan.models[0].slug: [engine.address for engine in engines]}
    stack = GatewayStack(plan, folder / "gateway", addresses)
    short = dataclasses.replace(plan.gateway, read_timeout_seconds=seconds)
    stack.write_template(nginx_conf(dataclasses.replace(plan, gateway=short), stack.environment))
    with running(stack):
        yield stack


@pytest.fixture
def backends() -> Iterator[list[FakeBackend]]:
    backends = [FakeBackend(name).start() for name in ("first", "second")]
    yield backends
    for backend in backends:
        backend.stop()
    assert [backend.unknown for backend in backends] == [[], []]


@pytest.fixture
def gateway(
    backends: list[FakeBackend], make_tier: Callable[..., Plan], tmp_path: Path
) -> Iterator[GatewayStack]:
    with before(backends, make_tier(), tmp_path) as stack:
        yield stack


def test_requests_to_an_engine_that_returns_500_are_retried_on_another(
    gateway: GatewayStack, backends: list[FakeBackend]
) -> None:
    first, second = backends
    with Load(gateway) as load:
        load.more(50)
        first.status = 500
        load.more(200)
        first.status = 200
        before = len(first.received)
        until(lambda: len(first.received) > before, "it is used again", BACK_SECONDS * 5)
        load.more(50)
    assert (set(load.statuses), load.errors) == ({200}, [])
    assert len(second.received) > 0


def test_two_failing_engines_are_reported_as_an_error(
    gateway: GatewayStack, backends: list[FakeBackend]
) -> None:
    for backend in backends:
        backend.status = 500
    answer = gateway.ask(CHAT, BODY)
    assert answer.status == 500
    assert "made to fail" in answer.json["error"]["message"], "the engine's own message"
    for backend in backends:
        backend.status = 503
    until(lambda: gateway.ask(CHAT, BODY).status == 429, "their queues are full")


def test_a_client_error_is_not_retried(gateway: GatewayStack, backends: list[FakeBackend]) -> None:
    for backend in backends:
        backend.status = 400
    assert gateway.ask(CHAT, BODY).status == 400
    assert sum(len(backend.received) for backend in backends) == 1


@pytest.fixture
def processes() -> Iterator[list[BackendProcess]]:
    processes = [BackendProcess(), BackendProcess()]
    yield processes
    for backend in processes:
        backend.kill()


@pytest.fixture
def over_processes(
    processes: list[BackendProcess], make_tier: Callable[..., Plan], tmp_path: Path
) -> Iterator[GatewayStack]:
    with before(processes, make_tier(), tmp_path) as stack:
        yield stack


def test_a_killed_engine_loses_no_request_and_is_used_again_after_its_restart(
    over_processes: GatewayStack, processes: list[BackendProcess]
) -> None:
    """Twice, under twelve clients with half of their requests on the engine that dies."""
    with Load(over_processes, clients=12) as load:
        for index in (0, 1):
            load.more(100)
            port = processes[index].port
            processes[index].kill()
            load.more(100)
            processes[index] = BackendProcess(port)
            back = time.monotonic()
            until(processes[index].used, "used again", BACK_SECONDS + SLACK_SECONDS)
            print(f"used again after {time.monotonic() - back:.2f} s")
    assert (set(load.statuses), load.errors) == ({200}, [])


def test_a_started_stream_is_cut_and_never_retried(
    over_processes: GatewayStack, processes: list[BackendProcess]
) -> None:
    """The client must notice: a retry would append a second generation to the first half of another."""
    connection = over_processes.connect()
    body = '{"stream": true, "delay": 50}'
    connection.request("POST", CHAT, body, {"Content-Type": "application/json"})
    response = connection.getresponse()
    assert response.readline() == b"data: first\n"
    (serving,) = [backend for backend in processes if backend.requests()]
    (other,) = [backend for backend in processes if backend is not serving]
    serving.process.kill()
    with pytest.raises(http.client.IncompleteRead):
        response.read()
    connection.close()
    assert other.requests() == 0


def test_a_hung_engine_leaves_the_pool_and_its_requests_end_at_the_read_timeout(
    make_tier: Callable[..., Plan], processes: list[BackendProcess], tmp_path: Path
) -> None:
    """SIGSTOP. Nothing new goes to it after the stated bound; what it holds gets 504 after the read timeout."""
    hung = processes[0]
    with impatient(12, processes, make_tier(), tmp_path) as gateway:
        with Load(gateway, clients=4) as load:
            load.more(20)
            os.kill(hung.pid, signal.SIGSTOP)
            stopped = time.monotonic()
            until(lambda: hung.address not in gateway.configuration(), "it left the pool")
            left = time.monotonic() - stopped
            load.more(50)
        probe = reloader_rules.Probe(**PROBE)
        bound, _ = reloader_rules.worst_bounds(1.0, probe)
        print(f"left after {left:.1f} s, stated {bound:.1f} s")
        assert left <= bound + SLACK_SECONDS
        assert (set(load.statuses), load.errors) == ({200, 504}, [])
        slow = [line for line in gateway.log_of(len(load.statuses)) if float(line["seconds"]) > 11]
        assert 1 <= len(slow) <= 8, (
            "requests that the hung engine held: one per client and read timeout, until it left"
        )
        assert {(line["upstream"], line["status"]) for line in slow} == {(hung.address, "504")}
        assert load.statuses.count(504) == len(slow)
        os.kill(hung.pid, signal.SIGCONT)
        until(lambda: hung.address in gateway.configuration(), "it came back")


@pytest.mark.parametrize("size", [0, 200_000], ids=["small", "200 kB"])
def test_an_answer_that_takes_too_long_is_not_computed_again(
    make_tier: Callable[..., Plan], backends: list[FakeBackend], tmp_path: Path, size: int
) -> None:
    """It would take as long again, on a second engine, for nobody."""
    with impatient(2, backends, make_tier(), tmp_path) as gateway:
        started = time.monotonic()
        answer = gateway.ask(CHAT, BODY | {"hold": True, "user": "x" * size})
        assert answer.status == 504
        assert answer.error["message"] == "the model server did not answer in time"
        assert time.monotonic() - started < 2 + SLACK_SECONDS
        assert sum(len(backend.received) for backend in backends) == 1


def test_an_engine_that_is_killed_late_is_no_reason_to_lose_its_requests(
    over_processes: GatewayStack, processes: list[BackendProcess]
) -> None:
    """Nobody else computes the answer of an engine that has ended."""
    answers: list[int] = []
    thread = threading.Thread(
        target=lambda: answers.append(over_processes.ask(CHAT, BODY | {"delay": 4}).status)
    )
    thread.start()
    until(lambda: any(backend.requests() for backend in processes), "one engine has it")
    (serving,) = [backend for backend in processes if backend.requests()]
    time.sleep(2)
    serving.process.kill()
    thread.join()
    assert answers == [200]


def test_a_slow_engine_gets_fewer_requests(gateway: GatewayStack, backends: list[FakeBackend]) -> None:
    """Least connections: an engine that does not finish its requests gets no more."""
    slow, quick = backends
    threads = [threading.Thread(target=gateway.ask, args=(CHAT, BODY | {"hold": True})) for _ in range(4)]
    for thread in threads:
        thread.start()
    until(lambda: slow.held + quick.held == 4, "two held by each")
    assert (slow.held, quick.held) == (2, 2)
    quick.release.set()
    until(lambda: quick.held == 0, "one is quick again")
    before = len(slow.received)
    for _ in range(20):
        assert gateway.ask(CHAT, BODY).json["served_by"] == "second"
    assert len(slow.received) == before
    slow.release.set()
    for thread in threads:
        thread.join()


def test_scaling_up_and_down_gives_a_fair_share_and_no_error(
    gateway: GatewayStack, backends: list[FakeBackend]
) -> None:
    """A third engine gets a third of the requests within ten seconds; it leaves again and gets none before it ends."""
    slug = gateway.plan.models[0].slug
    third = FakeBackend("third").start()
    two = [backend.address for backend in backends]
    with Load(gateway, clients=9) as load:
        load.more(50)
        gateway.set_engines(slug, [*two, third.address])

        def share() -> float:
            """The new engine's part of the next requests; workers of the old configuration end meanwhile."""
            before = [len(backend.received) for backend in (*backends, third)]
            load.more(900)
            counts = [len(b.received) - n for b, n in zip((*backends, third), before, strict=True)]
            return counts[2] / sum(counts)

        until(lambda: abs(share() - 1 / 3) <= 0.1 / 3, "a third of the requests", SHARE_SECONDS)
        gateway.set_engines(slug, two)
        until(lambda: third.address not in gateway.configuration(), "it left the pool")
        load.more(10)
        count = len(third.received)
        load.more(100)
        assert len(third.received) == count
    third.stop()
    assert third.unknown == []
    assert (set(load.statuses), load.errors) == ({200}, [])


def test_keys_rotate_under_load(
    make_tier: Callable[..., Plan], backends: list[FakeBackend], tmp_path: Path
) -> None:
    """Old and new key together, then the new one alone: no request of a valid key is refused, and no stream is cut."""
    plan = make_tier(gateway={"keys": {"web": {}}}, secrets=frozenset({"key-web"}))
    with before(backends, plan, tmp_path, {"web": ["old-key"]}) as gateway:
        connection = gateway.connect()
        headers = {"Content-Type": "application/json", "Authorization": "Bearer old-key"}
        connection.request("POST", CHAT, '{"stream": true, "hold": true}', headers)
        stream = connection.getresponse()
        assert stream.readline() == b"data: first\n"
        assert gateway.ask(CHAT, BODY, "new-key").status == 401
        gateway.set_key("web", ["old-key", "new-key"])
        until(lambda: gateway.ask(CHAT, BODY, "new-key").status == 200, "the new key opens")
        for _ in range(20):
            assert gateway.ask(CHAT, BODY, "old-key").status == 200
        gateway.set_key("web", ["new-key"])
        until(lambda: gateway.ask(CHAT, BODY, "old-key").status == 401, "the old key is shut")
        for _ in range(20):
            assert gateway.ask(CHAT, BODY, "new-key").status == 200
        for backend in backends:
            backend.release.set()
        assert stream.read().endswith(b"data: [DONE]\n\n"), "the stream of the old key was cut"
        connection.close()
        kept = [path for path in gateway.folder.rglob("*") if path.is_file() and path.parent != gateway.keys]
        for path in kept:
            text = path.read_bytes()
            assert b"old-key" not in text, path
            assert b"new-key" not in text, path
