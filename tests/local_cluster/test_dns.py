"""Names resolve in the pods of a real node as in any cluster, and there are no others."""

import time
from collections.abc import Iterator
from typing import Any

import pytest
from pods import NAMESPACE, WEB, Pods
from polling import until

from tierup.local.cluster.cluster import Cluster


def service(name: str, **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {"selector": {"app": "web"}, "ports": [{"name": "http", "port": 8080}], **spec},
    }


@pytest.fixture
def client(cluster: Cluster, pods: Pods) -> Iterator[Pods]:
    """A pod `client`, a pod `web`, and the Services `web` and `web-pods`, which is headless."""
    cluster.api.create(service("web"))
    cluster.api.create(service("web-pods", clusterIP="None"))
    pods.create("web", WEB)
    pods.create("client", ["sleep", "1000"])
    pods.wait_ready("web")
    pods.wait_ready("client")
    yield pods
    for name in ("web", "web-pods"):
        cluster.api.delete("v1", "Service", name, NAMESPACE)


def answers(pods: Pods, name: str) -> str:
    return pods.run("client", "nslookup", name, check=False).stdout


def test_services_and_the_pods_of_headless_ones_have_names(cluster: Cluster, client: Pods) -> None:
    made = cluster.api.get("v1", "Service", "web", NAMESPACE)
    assert made is not None
    assert made["spec"]["clusterIP"] in answers(client, "web.default.svc.cluster.local")
    address = client.status("web")["podIP"]
    for name in ("web-pods", "web.web-pods"):
        full = f"{name}.default.svc.cluster.local"
        until(lambda full=full: address in answers(client, full), full)


def test_pods_reach_a_service_by_its_short_name(client: Pods) -> None:
    """The search list of a pod's resolver completes it."""
    url = "http://web:8080/"
    until(lambda: client.run("client", "wget", "-qO-", url, check=False).stdout == "hello\n", url)


@pytest.mark.parametrize("name", ["absent.default.svc.cluster.local", "absent.example.com"])
def test_a_name_that_does_not_exist_is_refused_at_once(client: Pods, name: str) -> None:
    started = time.monotonic()
    assert "NXDOMAIN" in answers(client, name)
    assert time.monotonic() - started < 3.0
