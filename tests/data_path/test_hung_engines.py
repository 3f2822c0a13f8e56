"""An engine that hangs leaves the pool within the stated bound and comes back when it is well."""

import os
import signal
import time

from polling import until
from reloader_rules import Probe, worst_bounds
from small_gateway import INTERVAL, KEY, PROBE, Site, SmallGateway
from stream_load import Stream, StreamLoad

SILENT, STALLED = worst_bounds(INTERVAL, Probe(PROBE["timeout_seconds"], 2, PROBE["stalled_seconds"]))


def troubles(gateway: SmallGateway) -> list[str]:
    return [event["trouble"] for event in gateway.events("trouble")]


def test_a_stopped_engine_leaves_within_the_bound_and_comes_back(site: Site) -> None:
    first, second = site.engine(), site.engine()
    site.list_engines(second)
    gateway = site.gateway()
    gateway.start()
    on_second = Stream(gateway.port, KEY, tokens=30, gap=0.1)
    site.list_engines(first, second)
    gateway.follows(first, second)
    os.kill(second.pid, signal.SIGSTOP)
    assert gateway.follows(first) <= SILENT
    with StreamLoad(gateway.port, KEY, clients=2) as load:
        load.more(5)
        assert set(load.more(20)) == {first.address}
        os.kill(second.pid, signal.SIGCONT)
        gateway.follows(first, second)
        until(lambda: second.address in load.more(5), "traffic on the engine that is back")
    assert load.errors == []
    assert on_second.engine == second.address
    assert on_second.completes(), "a stream that the stopped engine had begun was cut"
    assert "silent" in troubles(gateway)


def test_a_stalled_engine_leaves_within_the_bound_and_comes_back(site: Site) -> None:
    first, second = site.engine(), site.engine()
    site.list_engines(second)
    gateway = site.gateway()
    gateway.start()
    on_second = Stream(gateway.port, KEY, tokens=100, gap=0.1)
    site.list_engines(first, second)
    gateway.follows(first, second)
    second.control("stall")
    stalled = time.monotonic()
    gateway.follows(first)
    assert PROBE["stalled_seconds"] - PROBE["timeout_seconds"] <= time.monotonic() - stalled <= STALLED
    assert "stalled" in troubles(gateway)
    with StreamLoad(gateway.port, KEY, clients=2) as load:
        load.more(5)
        assert set(load.more(20)) == {first.address}
        second.control("resume")
        gateway.follows(first, second)
        until(lambda: second.address in load.more(5), "traffic on the engine that is back")
    assert load.errors == []
    assert on_second.completes()


def test_an_idle_engine_is_not_hung(site: Site) -> None:
    first, second = site.engine(), site.engine()
    site.list_engines(first, second)
    gateway = site.gateway(stalled_seconds=0)
    gateway.start()
    probed = second.control("report")["probed"]
    until(lambda: second.control("report")["probed"] > probed + 5, "further rounds")
    assert gateway.uses(first, second)


def test_if_every_probe_fails_all_engines_stay(site: Site) -> None:
    first, second = site.engine(), site.engine()
    site.list_engines(first, second)
    gateway = site.gateway()
    gateway.start()
    for engine in (first, second):
        os.kill(engine.pid, signal.SIGSTOP)

    until(lambda: "no engine passes its probe, all are kept" in troubles(gateway), "a word about it")
    gateway.follows(first, second)
    for engine in (first, second):
        os.kill(engine.pid, signal.SIGCONT)
    assert Stream(gateway.port, KEY).completes()
