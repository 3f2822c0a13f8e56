"""A tier's pods on a real node answer chats through the gateway's Service, also while pods are replaced or fail."""

import signal

import pytest
from polling import until
from served_tier import PODS, ServedTier

pytestmark = pytest.mark.usefixtures("all_ready")


def test_every_container_starts_within_its_probes_and_none_is_restarted(served: ServedTier) -> None:
    for component in PODS:
        for pod in served.pods(component):
            restarts = {item["name"]: item["restartCount"] for item in pod["status"]["containerStatuses"]}
            assert set(restarts.values()) == {0}, f"{pod['metadata']['name']}: {restarts}"


def test_a_chat_is_streamed_through_the_service(served: ServedTier) -> None:
    with served.load(clients=1, tokens=100) as load:
        pass
    assert load.failed() == []
    for chat in load.chats:
        unbuffered = (chat["first"] - chat["started"]) / (chat["ended"] - chat["started"])
        assert unbuffered < 0.5, "the first token comes long before the last"


def test_a_caller_without_a_key_is_refused(served: ServedTier) -> None:
    with served.load(key="wrong", clients=1) as load:
        pass
    assert {chat["status"] for chat in load.chats} == {401}


def test_a_gateway_s_rollout_cuts_no_stream(served: ServedTier) -> None:
    with served.load() as load:
        served.restart("gateway")
    assert load.failed() == []


def test_an_engine_s_rollout_cuts_no_stream(served: ServedTier) -> None:
    before = {pod["metadata"]["name"] for pod in served.pods("model-server")}
    with served.load() as load:
        served.restart("model-server")
    assert load.failed() == []
    assert before.isdisjoint(pod["metadata"]["name"] for pod in served.pods("model-server"))


def test_an_engine_that_is_killed_comes_back_and_chats_go_on(served: ServedTier) -> None:
    victim, _ = served.pods("model-server")
    before = served.restarts(victim, "model-server")
    with served.load() as load:
        served.signal(victim, "model-server", signal.SIGKILL)
        until(lambda: served.restarts(victim, "model-server") > before, "the restart")
        served.wait_ready("model-server", 2)
    assert len(load.failed()) <= 2, "only the streams of the killed engine"


def test_an_engine_that_hangs_is_restarted_and_chats_go_on(served: ServedTier) -> None:
    victim, _ = served.pods("model-server")
    before = served.restarts(victim, "model-server")
    with served.load(clients=1) as load:
        served.signal(victim, "model-server", signal.SIGSTOP)
        until(lambda: served.restarts(victim, "model-server") > before, "the restart", 180)
        served.wait_ready("model-server", 2)
    assert len(load.failed()) <= 1
