"""Network policies decide which pods of a real node reach which, as a cluster's network plugin would decide."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from pods import NAMESPACE, Pods
from polling import until

from tierup.local.cluster.cluster import Cluster

POLICY = "networking.k8s.io/v1"
TWO_PORTS = (
    "sh",
    "-c",
    "echo hello >/tmp/index.html && httpd -p 9090 -h /tmp && exec httpd -f -p 8080 -h /tmp",
)
PROBE = {"httpGet": {"path": "/", "port": 8080}, "periodSeconds": 1, "failureThreshold": 1}
OPEN = [("gateway", "model", 8080)]
SHUT = [
    ("gateway", "model", 9090),  # another port
    ("other", "model", 8080),  # another caller
    ("model", "gateway", 8080),  # the other way
    ("gateway", "other", 8080),  # another target
]


def policy(name: str, pods: dict[str, str], **spec: Any) -> dict[str, Any]:
    types = [{"ingress": "Ingress", "egress": "Egress"}[key] for key in spec] or ["Ingress", "Egress"]
    return {
        "apiVersion": POLICY,
        "kind": "NetworkPolicy",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {"podSelector": {"matchLabels": pods}, "policyTypes": types, **spec},
    }


def peers(key: str, app: str) -> dict[str, Any]:
    return {
        key: [{"podSelector": {"matchLabels": {"app": app}}}],
        "ports": [{"protocol": "TCP", "port": 8080}],
    }


DNS = {
    "to": [{"namespaceSelector": {}, "podSelector": {"matchLabels": {"k8s-app": "kube-dns"}}}],
    "ports": [{"protocol": "UDP", "port": 53}],
}
POLICIES = (
    policy("deny", {}),
    policy("model", {"app": "model"}, ingress=[peers("from", "gateway")]),
    policy("gateway", {"app": "gateway"}, egress=[peers("to", "model"), DNS]),
)


@pytest.fixture
def three(cluster: Cluster, pods: Pods) -> Iterator[Pods]:
    """Pods `gateway`, `model` and `other`, each with servers on 8080 and 9090; policies go with them."""
    names = ("gateway", "model", "other")
    for name in names:
        pods.create(name, TWO_PORTS, readinessProbe=PROBE)
    for name in names:
        pods.wait_ready(name)
    yield pods
    cluster.api.request("DELETE", f"/apis/{POLICY}/namespaces/{NAMESPACE}/networkpolicies")


def reaches(pods: Pods, source: str, host: str, port: int) -> bool:
    url = f"http://{host}:{port}/"
    command = ("busybox", "timeout", "2", "wget", "-qO-", url)
    return pods.run(source, *command, check=False).stdout == "hello\n"


def reached(pods: Pods, pairs: Sequence[tuple[str, str, int]]) -> list[tuple[str, str, int]]:
    """Those of the pairs whose first pod reaches the second one."""
    with ThreadPoolExecutor(len(pairs)) as pool:
        results = pool.map(lambda p: reaches(pods, p[0], pods.status(p[1])["podIP"], p[2]), pairs)
    return [pair for pair, result in zip(pairs, results, strict=True) if result]


def resolves(pods: Pods, source: str) -> bool:
    name = "kubernetes.default.svc.cluster.local"
    command = ("busybox", "timeout", "3", "nslookup", name)
    return "10.96.0.1" in pods.run(source, *command, check=False).stdout.split()


def test_only_what_a_policy_allows_passes(cluster: Cluster, three: Pods) -> None:
    every = [*OPEN, *SHUT]
    assert reached(three, every) == every, "without a policy every pod reaches every other"
    for obj in POLICIES:
        cluster.api.create(obj)
    until(lambda: not reached(three, SHUT[-1:]), "the policies")
    assert reached(three, every) == OPEN
    assert resolves(three, "gateway")
    assert not resolves(three, "other")
    for obj in POLICIES:
        cluster.api.delete(POLICY, "NetworkPolicy", obj["metadata"]["name"], NAMESPACE)
    until(lambda: reached(three, every) == every, "all open again")


def test_a_service_leads_past_no_policy(cluster: Cluster, three: Pods) -> None:
    """A policy sees the pod behind a Service's address, not the address."""
    cluster.api.create(
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "model", "namespace": NAMESPACE},
            "spec": {"selector": {"app": "model"}, "ports": [{"port": 80, "targetPort": 8080}]},
        }
    )
    service = cluster.api.get("v1", "Service", "model", NAMESPACE)
    assert service is not None
    address = service["spec"]["clusterIP"]
    until(lambda: reaches(three, "other", address, 80), "the Service")
    for obj in POLICIES:
        cluster.api.create(obj)
    until(lambda: not reaches(three, "other", address, 80), "the policies")
    assert reaches(three, "gateway", address, 80)
    cluster.api.delete("v1", "Service", "model", NAMESPACE)


def test_probes_of_kubelet_pass_whatever_the_policies_say(cluster: Cluster, three: Pods) -> None:
    cluster.api.create(policy("deny", {}))
    until(lambda: not reached(three, OPEN), "the policy")
    three.create("late", TWO_PORTS, readinessProbe=PROBE)
    three.wait_ready("late")
    assert all(three.ready(name) for name in ("gateway", "model", "other"))


def test_without_its_enforcer_no_new_connection_passes(cluster: Cluster, three: Pods) -> None:
    """So a policy never seems to hold because nobody looked."""
    cluster.kill("network-policy-enforcer")
    assert reached(three, OPEN) == []
    cluster.restart("network-policy-enforcer")
    until(lambda: reached(three, OPEN) == OPEN, "open again")
    cluster.api.create(policy("deny", {}))
    until(lambda: not reached(three, OPEN), "the policy")
