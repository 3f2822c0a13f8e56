"""The bounds of one gateway follow the ready engines and gateways, in the configuration and in responses to clients."""

import os
import re
import signal

from polling import until
from small_gateway import KEY, QUEUE, SLOTS, Site, SmallGateway
from stream_load import Stream, StreamLoad


def bounds(gateway: SmallGateway) -> dict[str, int]:
    return {name: int(bound) for name, bound in re.findall(r"limit_conn (\w+) (\d+);", gateway.text)}


def test_three_engines_admit_more_than_one(site: Site) -> None:
    engines = [site.engine() for _ in range(3)]
    site.list_engines(engines[0])
    gateway = site.gateway()
    gateway.start()
    assert bounds(gateway) == {"in_flight": SLOTS + QUEUE, "in_class": SLOTS // 2}
    assert gateway.admits(10) == (6, 4)
    until(lambda: engines[0].control("report")["running"] == 0, "the end of the streams that were closed")
    assert gateway.admits(5, **{"X-Class": "longform"}) == (2, 3)

    site.list_engines(*engines)
    gateway.follows(*engines)
    assert bounds(gateway) == {"in_flight": 3 * SLOTS + QUEUE, "in_class": 3 * SLOTS // 2}
    until(lambda: gateway.admits(20) == (14, 6), "14 of 20 requests admitted")
    until(lambda: gateway.admits(10, **{"X-Class": "longform"}) == (6, 4), "6 of 10 long jobs admitted")


def test_when_one_of_two_gateways_dies_the_other_admits_twice_as_many(site: Site) -> None:
    engine = site.engine()
    site.list_engines(engine)
    site.list_gateways("gateway-0:80", "gateway-1:80")
    both = [site.gateway(), site.gateway()]
    for gateway in both:
        gateway.start()
        assert bounds(gateway) == {"in_flight": (SLOTS + QUEUE) // 2, "in_class": SLOTS // 4}
        assert gateway.admits(5) == (3, 2)
        until(lambda: engine.control("report")["running"] == 0, "the end of the streams that were closed")

    survivor, dying = both
    with StreamLoad(survivor.port, KEY, clients=2) as load:
        held = Stream(dying.port, KEY, tokens=1000)
        assert held.status == 200
        dying.kill()
        held.close()
        site.list_gateways("gateway-0:80")  # as the cluster does when its probe fails
        until(lambda: bounds(survivor)["in_flight"] == SLOTS + QUEUE, "twice the bound")
        load.more(10)
    assert load.errors == []
    assert bounds(survivor) == {"in_flight": SLOTS + QUEUE, "in_class": SLOTS // 2}
    until(lambda: survivor.admits(10) == (6, 4), "6 of 10 requests admitted")


def test_a_hung_engine_admits_nothing(site: Site) -> None:
    first, second = site.engine(), site.engine()
    site.list_engines(first, second)
    gateway = site.gateway()
    gateway.start()
    assert bounds(gateway)["in_flight"] == 2 * SLOTS + QUEUE
    os.kill(second.pid, signal.SIGSTOP)
    gateway.follows(first)
    assert bounds(gateway)["in_flight"] == SLOTS + QUEUE
    os.kill(second.pid, signal.SIGCONT)
    gateway.follows(first, second)
    assert bounds(gateway)["in_flight"] == 2 * SLOTS + QUEUE
