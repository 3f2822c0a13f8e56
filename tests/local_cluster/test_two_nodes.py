"""A tier on two real nodes: pods of both find each other, and policies hold between them."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from pods import NAMESPACE, WEB, Pods, claim
from polling import until
from served_tier import ServedTier
from two_nodes import node_names, nodes_of

POLICY = "networking.k8s.io/v1"


@pytest.fixture
def pods(wide: ServedTier) -> Iterator[Pods]:
    """Makes pods in the default namespace; they and all policies there go with the test."""
    yield Pods(wide.cluster)
    api = wide.cluster.api
    api.request("DELETE", f"/apis/{POLICY}/namespaces/{NAMESPACE}/networkpolicies")
    api.request("DELETE", f"/api/v1/namespaces/{NAMESPACE}/pods", {"gracePeriodSeconds": 0})
    until(lambda: not api.list_all("v1", "Pod", NAMESPACE), "no pods")


def test_the_tier_s_engines_and_gateways_are_on_both_nodes(wide: ServedTier) -> None:
    both = set(node_names(wide.cluster))
    assert len(both) == 2
    assert nodes_of(wide, "model-server") == nodes_of(wide, "gateway") == both
    assert wide.cluster.status().ready
    assert {"kubelet", "kubelet-2"} <= set(wide.cluster.status().pids)


def reaches(pods: Pods, source: str, host: str, port: int) -> bool:
    command = ("busybox", "timeout", "2", "wget", "-qO-", f"http://{host}:{port}/")
    return pods.run(source, *command, check=False).stdout == "hello\n"


def allow(target: str, source: str) -> dict[str, Any]:
    """Only pods of `source` may connect to those of `target`, on port 8080."""
    return {
        "apiVersion": POLICY,
        "kind": "NetworkPolicy",
        "metadata": {"name": target, "namespace": NAMESPACE},
        "spec": {
            "podSelector": {"matchLabels": {"app": target}},
            "policyTypes": ["Ingress"],
            "ingress": [
                {
                    "from": [{"podSelector": {"matchLabels": {"app": source}}}],
                    "ports": [{"protocol": "TCP", "port": 8080}],
                }
            ],
        },
    }


def isolate(source: str) -> dict[str, Any]:
    """Pods of `source` connect to nobody."""
    spec = {"podSelector": {"matchLabels": {"app": source}}, "policyTypes": ["Egress"]}
    metadata = {"name": f"{source}-egress", "namespace": NAMESPACE}
    return {"apiVersion": POLICY, "kind": "NetworkPolicy", "metadata": metadata, "spec": spec}


def test_pods_and_services_are_reached_across_nodes_as_far_as_policies_allow(
    wide: ServedTier, pods: Pods
) -> None:
    api, (first, second) = wide.cluster.api, node_names(wide.cluster)
    for name, node in (("web", second), ("near", second), ("far", first), ("other", first)):
        pods.create(name, WEB, node=node)
    for name in ("web", "near", "far", "other"):
        pods.wait_ready(name)
    service = {"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": 8080}]}
    named = {"metadata": {"name": "web", "namespace": NAMESPACE}}
    api.create({"apiVersion": "v1", "kind": "Service", **named, "spec": service})
    made = api.get("v1", "Service", "web", NAMESPACE)
    assert made is not None
    virtual = made["spec"]["clusterIP"]
    targets = {name: (pods.status(name)["podIP"], 8080) for name in ("web", "near", "far", "other")}
    targets["service"] = (virtual, 80)
    pairs = [(a, b) for a in ("near", "far", "other", "web") for b in targets if a != b]
    pairs.remove(("web", "service"))

    def reached() -> set[tuple[str, str]]:
        with ThreadPoolExecutor(8) as pool:
            results = pool.map(lambda pair: reaches(pods, pair[0], *targets[pair[1]]), pairs)
            return {pair for pair, result in zip(pairs, results, strict=True) if result}

    until(lambda: reaches(pods, "far", virtual, 80), "the Service")
    assert reached() == set(pairs), "without a policy every pod reaches every other, and the Service"
    api.create(allow("web", "far"))
    api.create(isolate("near"))
    until(lambda: not reaches(pods, "other", *targets["web"]), "the policies")
    shut = {pair for pair in pairs if pair[0] == "near"} | {("other", "web"), ("other", "service")}
    assert reached() == set(pairs) - shut
    api.delete("v1", "Service", "web", NAMESPACE)


def test_a_shared_volume_is_written_on_one_node_and_read_on_the_other(wide: ServedTier, pods: Pods) -> None:
    api, (first, second) = wide.cluster.api, node_names(wide.cluster)
    api.create(claim("both", "ReadWriteMany", "shared"))
    pods.create("writer", ["sleep", "1000"], claim="both", node=first)
    pods.create("reader", ["sleep", "1000"], claim="both", node=second)
    pods.wait_ready("writer")
    pods.wait_ready("reader")
    pods.run("writer", "sh", "-c", "echo shared >/data/file")
    assert pods.run("reader", "cat", "/data/file").stdout == "shared\n"
    api.delete("v1", "PersistentVolumeClaim", "both", NAMESPACE)


def test_kubectl_top_shows_what_nodes_and_pods_use(wide: ServedTier) -> None:
    def top(*arguments: str) -> dict[str, list[str]]:
        lines = wide.kubectl("top", *arguments, "--no-headers").splitlines()
        return {fields[0]: fields[1:] for fields in map(str.split, lines)}

    def rows() -> set[str]:
        found = wide.cluster.api.request("GET", "/apis/metrics.k8s.io/v1beta1/pods")["items"]
        return {item["metadata"]["name"] for item in found}

    engines = {pod["metadata"]["name"] for pod in wide.pods("model-server")}
    until(lambda: engines <= rows(), "the first values", 60)
    used = top("pods", "-n", wide.plan.namespace)
    for engine in engines:
        memory = used[engine][1]
        assert memory.endswith("Mi")
        assert int(memory.removesuffix("Mi")) > 100, "vLLM with a model is never smaller"
    measured = {name for name, (cores, *_) in top("nodes").items() if cores != "<unknown>"}
    assert measured == set(node_names(wide.cluster)), "the spares, which are simulated, use nothing"
