"""A tier on two real nodes answers chats while one of them is drained or has lost its power."""

import itertools
import time
from typing import Any

from polling import until
from served_tier import ROLLOUT_SECONDS, Load, ServedTier
from two_nodes import node_names, nodes_of

from tierup.manifests.common import GATEWAY_PORT
from tierup.manifests.gateway import LOST_PEER_SECONDS

BOTH = ("gateway", "model-server")  # the components with a pod on each node
STEADY_SECONDS = 5.0  # of chats before or after a change, some of each client
PROXY_SECONDS = 3.0  # after which kube-proxy has taken a change of a Service's pods
IDLE_SECONDS = 5.0  # after which no gateway has an idle connection to an engine
SILENCE_SECONDS = 30.0  # between two answers, on a machine that is busy with other tests


def both_ready(tier: ServedTier) -> None:
    for component in BOTH:
        tier.wait_ready(component, 2)
    tier.engines_known()


def names(tier: ServedTier) -> set[str]:
    return {pod["metadata"]["name"] for component in BOTH for pod in tier.pods(component)}


def on_node(tier: ServedTier, component: str, node: str) -> dict[str, Any]:
    """The pod of a component on a node."""
    (pod,) = (item for item in tier.pods(component) if item["spec"]["nodeName"] == node)
    return pod


def longest_silence(load: Load, begin: float, end: float) -> float:
    """Seconds without the end of a complete answer, in a part of the load."""
    ends: list[float] = sorted(
        chat["ended"] for chat in load.chats if chat["complete"] and begin < chat["ended"] < end
    )
    times = [begin, *ends, end]
    return max(later - earlier for earlier, later in itertools.pairwise(times))


def test_chats_go_on_after_a_node_s_power_cut_and_its_pods_serve_again(
    wide: ServedTier,
) -> None:
    both_ready(wide)
    before, (first, second) = names(wide), wide.cluster.nodes
    assert nodes_of(wide, "gateway") == nodes_of(wide, "model-server") == set(node_names(wide.cluster))
    left = on_node(wide, "gateway", first.record.name)
    direct = f"{wide.plan.gateway.scheme}://{left['status']['podIP']}:{GATEWAY_PORT}"
    with wide.load(url=direct, tokens=300) as long:
        second.power_off()
        off = time.monotonic()
        time.sleep(IDLE_SECONDS)
        with wide.load() as load:
            lost = until(
                lambda: wide.ready("gateway") == wide.ready("model-server") == 1, "its pods lost", 120
            )
            print(f"the cluster knows after {lost + IDLE_SECONDS:.0f} s")
            time.sleep(PROXY_SECONDS)
            known = time.monotonic()
            time.sleep(STEADY_SECONDS)
            second.power_on()
            until(wide.cluster.node_ready, "the node")
            both_ready(wide)
            time.sleep(STEADY_SECONDS)
            end = time.monotonic()
    assert names(wide) == before, "they start again where they were"
    cut = long.failed()
    print(
        f"cut after {[chat['ended'] - off for chat in cut]} s, {len(load.failed())} of {len(load.chats)} failed"
    )
    assert len(cut) <= 1, "least_conn gives each engine one of the two streams"
    assert all(chat["started"] < off for chat in cut), "the gateway takes the other engine at once"
    assert all(chat["ended"] < off + LOST_PEER_SECONDS + SILENCE_SECONDS for chat in cut), "none hangs"
    assert all(chat["started"] < known for chat in load.failed()), (
        "only while the Service has the lost gateway"
    )
    assert longest_silence(load, off + IDLE_SECONDS, end) < SILENCE_SECONDS, (
        "a client that tries again is answered"
    )


def test_a_node_is_drained_without_a_failed_chat_and_a_rollout_spreads_the_pods_again(
    wide: ServedTier,
) -> None:
    both_ready(wide)
    first, second = node_names(wide.cluster)
    options = ("--ignore-daemonsets", "--delete-emptydir-data", f"--timeout={ROLLOUT_SECONDS:.0f}s")
    with wide.load() as load:
        wide.kubectl("drain", second, *options)
        assert nodes_of(wide, "model-server") == nodes_of(wide, "gateway") == {first}
        both_ready(wide)
        wide.kubectl("uncordon", second)
        wide.restart("gateway")
        assert nodes_of(wide, "gateway") == {first, second}
    assert load.chats
    assert load.failed() == []
