"""A tier's pods on a real node answer chats through the gateway's Service, also while pods are replaced or fail."""

from served_tier import ServedTier


def test_every_pod_is_ready_and_none_was_restarted(served: ServedTier) -> None:
    for component, count in (("model-server", 2), ("gateway", 2), ("prometheus", 1), ("grafana", 1)):
        served.wait_ready(component, count)
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
