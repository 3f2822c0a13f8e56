"""A tier's pods answer every chat while a part of the cluster below them is away."""

import signal
import time

import pytest
from polling import until
from served_tier import ServedTier

AWAY_SECONDS = 15.0  # longer than each interval at which gateways look for engines and probes are made


pytestmark = pytest.mark.usefixtures("all_ready")


def all_restarts(served: ServedTier) -> dict[str, int]:
    """How often each container of the tier has been restarted."""
    return {
        f"{pod['metadata']['name']}/{item['name']}": item["restartCount"]
        for pod in served.objects("v1", "Pod")
        for item in pod["status"]["containerStatuses"]
    }


@pytest.mark.parametrize(
    "components", [["kube-apiserver"], ["kubelet", "containerd"], ["kube-proxy"]], ids="+".join
)
def test_chats_go_on_without_a_component_of_the_cluster(served: ServedTier, components: list[str]) -> None:
    before = all_restarts(served)
    with served.load() as load:
        for component in components:
            served.cluster.kill(component)
        time.sleep(AWAY_SECONDS)
        for component in reversed(components):
            served.cluster.restart(component)
        until(served.cluster.node_ready, "the node")
        served.all_ready()
    assert load.failed() == []
    assert all_restarts(served) == before


def test_chats_go_on_without_the_cluster_s_dns(served: ServedTier) -> None:
    (dns,) = served.cluster.api.list_all("v1", "Pod", "kube-system")
    with served.load() as load:
        served.signal(dns, "coredns", signal.SIGSTOP)
        time.sleep(AWAY_SECONDS)
        served.signal(dns, "coredns", signal.SIGKILL)
        until(lambda: served.restarts(dns, "coredns") > 0, "the restart")
    assert load.failed() == []


@pytest.mark.parametrize("container", ["nginx", "reloader"])
def test_a_gateway_s_container_that_is_killed_comes_back(served: ServedTier, container: str) -> None:
    victim, _ = served.pods("gateway")
    before = served.restarts(victim, container)
    with served.load() as load:
        served.signal(victim, container, signal.SIGKILL)
        until(lambda: served.restarts(victim, container) > before, "the restart")
        served.all_ready()
        back = time.monotonic()
        time.sleep(2)
    failed = load.failed()
    assert container == "nginx" or failed == []
    assert all(chat["started"] < back for chat in failed), (
        "the Service sends to it until it has started again"
    )
    assert len(failed) < len(load.chats) / 2, "the other gateway answers meanwhile"
