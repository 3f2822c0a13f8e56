"""The tier's own network policies on a real node: who reaches whom, tried from inside every component's pod."""

import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from pods import NAMESPACE, Pods
from served_tier import ServedTier

from tierup.manifests.common import ENGINE_PORT, GATEWAY_PORT, GATEWAY_STATUS_PORT

TARGETS = [
    ("model-server", ENGINE_PORT),
    ("gateway", GATEWAY_PORT),
    ("gateway", GATEWAY_STATUS_PORT),
    ("prometheus", 9090),
    ("grafana", 3000),
]
OPEN = {
    ("gateway", "model-server", ENGINE_PORT),
    ("prometheus", "model-server", ENGINE_PORT),
    ("prometheus", "gateway", GATEWAY_STATUS_PORT),
    ("grafana", "prometheus", 9090),
    ("outsider", "gateway", GATEWAY_PORT),
}
RESOLVE = {"gateway", "prometheus", "grafana", "model-fetch", "outsider"}
SOURCES = ("gateway", "model-server", "prometheus", "grafana", "model-fetch", "outsider")


@pytest.fixture(scope="module")
def outsider(served: ServedTier) -> Iterator[Pods]:
    """A pod of another namespace."""
    pods = Pods(served.cluster)
    pods.create("outsider", ["sleep", "1000"])
    pods.wait_ready("outsider")
    yield pods
    served.cluster.api.delete("v1", "Pod", "outsider", NAMESPACE)


def run_in(served: ServedTier, source: str, script: str) -> str:
    """Run a shell script in the first pod of a component, or in the outsider; returns its output."""
    if source == "outsider":
        namespace, pod = NAMESPACE, source
    else:
        namespace, pod = served.plan.namespace, str(served.pods(source)[0]["metadata"]["name"])
    try:
        return served.kubectl("-n", namespace, "exec", pod, "--", "/bin/sh", "-c", script)
    except subprocess.CalledProcessError as error:
        return str(error.stdout)


def reached(served: ServedTier, source: str) -> set[tuple[str, str, int]]:
    """What the source reaches of the targets in other pods; any HTTP answer counts."""
    found = set()
    for component, port in TARGETS:
        others = served.pods(component)[1:] if source == component else served.pods(component)
        if not others:
            continue  # a pod always reaches itself
        address = others[0]["status"]["podIP"]
        script = f"timeout 3 wget -S -O /dev/null http://{address}:{port}/ 2>&1 | grep -c HTTP/1"
        if run_in(served, source, script).strip() not in ("", "0"):
            found.add((source, component, port))
    return found


def test_each_component_reaches_what_it_needs_and_nothing_else(served: ServedTier, outsider: Pods) -> None:
    served.wait_ready("model-server", 2)
    served.wait_ready("gateway", 2)
    with ThreadPoolExecutor(len(SOURCES)) as pool:
        found = set().union(*pool.map(lambda source: reached(served, source), SOURCES))
    assert found == OPEN


def test_only_those_that_need_names_may_resolve_them(served: ServedTier, outsider: Pods) -> None:
    script = "timeout 5 nslookup kubernetes.default.svc.cluster.local 2>&1 | grep -c 10.96.0.1"
    with ThreadPoolExecutor(len(SOURCES)) as pool:
        answers = list(pool.map(lambda source: run_in(served, source, script).strip(), SOURCES))
    assert {
        source for source, answer in zip(SOURCES, answers, strict=True) if answer not in ("", "0")
    } == RESOLVE
