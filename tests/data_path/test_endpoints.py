"""Engines come and go, configurations are wrong, and clients do not notice."""

import json

from polling import until
from small_gateway import KEY, Site
from stream_load import Stream, StreamLoad


def test_a_new_engine_gets_traffic_and_one_that_leaves_gets_none_before_it_ends(site: Site) -> None:
    first, second, third = site.engine(), site.engine(), site.engine()
    site.list_engines(second)
    gateway = site.gateway()
    gateway.start()
    across = Stream(gateway.port, KEY, tokens=200, gap=0.05)  # longer than all the reloads below
    site.list_engines(first, second)
    gateway.follows(first, second)
    with StreamLoad(gateway.port, KEY, clients=4) as load:
        load.more(20)
        site.list_engines(first, second, third)
        until(lambda: third.started_streams() > 0, "traffic on the new engine")
        assert set(load.more(30)) == {first.address, second.address, third.address}

        site.list_engines(second, third)
        gateway.follows(second, third)
        load.more(20)  # the old workers end with the streams they have
        before = first.started_streams()
        assert set(load.more(40)) == {second.address, third.address}
        assert first.started_streams() == before
        first.end()
        load.more(20)
    assert load.errors == []
    assert across.completes(), "a reload cut a stream"
    taken = [event["changed"] for event in gateway.events("taken")]
    assert taken == [["template", "engines", "gateways", "keys"], ["engines"], ["engines"], ["engines"]]


def test_a_wrong_template_is_refused_and_the_old_configuration_keeps_serving(site: Site) -> None:
    first, second = site.engine(), site.engine()
    site.list_engines(first)
    gateway = site.gateway()
    gateway.start()
    good = gateway.template.read_text().removeprefix("user root;\n")
    with StreamLoad(gateway.port, KEY, clients=2) as load:
        serving = gateway.text
        gateway.write_template(good.replace("least_conn;", "least_connn;"))
        until((gateway.shared / "refused.conf").exists, "a refusal")
        until(lambda: "least_connn" in json.dumps(gateway.events("trouble")), "Nginx's message in the log")
        refused = (gateway.shared / "refused.conf").stat().st_mtime_ns
        probed = first.control("report")["probed"]
        until(lambda: first.control("report")["probed"] > probed + 3, "further rounds")
        assert (gateway.shared / "refused.conf").stat().st_mtime_ns == refused, (
            "the same text was offered again"
        )
        assert gateway.text == serving
        load.more(20)

        # An unknown marker never reaches Nginx; then the repair and a new engine arrive together.
        gateway.write_template(good.replace("@KEYS@", "@KEY@"))
        until(lambda: "unknown marker @KEY@" in json.dumps(gateway.events("trouble")), "a clear message")
        site.list_engines(first, second)
        gateway.write_template(good)
        gateway.follows(first, second)
        assert set(load.more(20)) == {first.address, second.address}
    assert load.errors == []


def test_a_gateway_without_engines_answers_and_waits_for_the_first(site: Site) -> None:
    engine = site.engine()
    site.list_engines()
    gateway = site.gateway()
    gateway.start()
    refused = Stream(gateway.port, KEY)
    assert refused.status == 502  # Nginx's own answer, which the real template turns into 503
    refused.close()
    site.list_engines(engine)
    gateway.follows(engine)
    until(lambda: Stream(gateway.port, KEY).completes(), "an answer of the first engine")


def test_an_unreadable_list_of_engines_leaves_the_last_good_one(site: Site) -> None:
    first, second = site.engine(), site.engine()
    site.list_engines(first)
    gateway = site.gateway()
    gateway.start()
    with StreamLoad(gateway.port, KEY, clients=2) as load:
        site.engine_list.write_text('["127.0.0.1:80; } http {"]')
        until(lambda: "must be a JSON list" in json.dumps(gateway.events("trouble")), "a clear message")
        # A reloader that knows nothing yet must not empty the pool either.
        assert gateway.reloader is not None
        gateway.reloader.kill()
        gateway.reloader.wait()
        gateway.start_reloader()
        until(lambda: json.dumps(gateway.events("trouble")).count("must be a JSON list") == 2, "its message")
        assert set(load.more(20)) == {first.address}
        site.list_engines(first, second)
        gateway.follows(first, second)
        assert set(load.more(20)) == {first.address, second.address}
    assert load.errors == []
