"""Keys change while clients use them, and are nowhere in plain text."""

from polling import until
from small_gateway import KEY, Site, SmallGateway
from stream_load import Stream, StreamLoad

OLD, NEW = "old-key-of-alice", "new-key-of-alice"


def allowed(gateway: SmallGateway, key: str) -> bool:
    stream = Stream(gateway.port, key, tokens=1)
    complete = stream.completes()
    assert complete or stream.status == 401
    return complete


def test_a_key_is_rotated_under_load_and_no_stream_is_dropped(site: Site) -> None:
    engine = site.engine()
    site.list_engines(engine)
    site.set_key("alice", OLD)
    gateway = site.gateway()
    gateway.start()
    assert (allowed(gateway, OLD), allowed(gateway, NEW)) == (True, False)
    with StreamLoad(gateway.port, KEY, clients=2) as others:
        begun_with_the_old_key = Stream(gateway.port, OLD, tokens=200, gap=0.05)
        with StreamLoad(gateway.port, OLD, clients=1) as before:
            before.more(3)
            site.set_key("alice", OLD, NEW)
            until(lambda: allowed(gateway, NEW), "the new key")
            before.more(3)
        with StreamLoad(gateway.port, NEW, clients=1) as after:
            site.set_key("alice", NEW)
            until(lambda: not allowed(gateway, OLD), "the end of the old key")
            after.more(3)
        assert begun_with_the_old_key.completes()
        others.more(5)
    assert (others.errors, before.errors, after.errors) == ([], [], [])
    assert [event["changed"] for event in gateway.events("taken")][1:] == [["keys"], ["keys"]]
    written = [path for path in gateway.folder.rglob("*") if path.is_file()]
    assert {"nginx.conf", "reloader.log", "nginx.log"} <= {path.name for path in written}
    for path in written:
        text = path.read_text(errors="replace")
        assert not any(key in text for key in (OLD, NEW, KEY)), f"{path} has a key in plain text"


def test_a_broken_key_file_disables_only_its_own_caller(site: Site) -> None:
    engine = site.engine()
    site.list_engines(engine)
    site.set_key("alice", OLD)
    site.set_key("empty", "")
    site.set_key("bob$", NEW)
    gateway = site.gateway()
    gateway.start()
    assert (allowed(gateway, OLD), allowed(gateway, NEW), allowed(gateway, "")) == (True, False, False)
    troubles = {event["about"] for event in gateway.events("trouble")}
    assert {"key empty", "key bob$"} <= troubles
