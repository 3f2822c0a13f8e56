"""A claim gets a volume that a pod of the real node writes to, and that lasts as long as the claim."""

import pytest
from pods import NAMESPACE, Pods, claim
from polling import until

from tierup.local.cluster.cluster import Cluster

CLAIM = "PersistentVolumeClaim"


@pytest.mark.parametrize(
    ("storage_class", "mode"), [("standard", "ReadWriteOnce"), ("shared", "ReadWriteMany")]
)
def test_a_volume_outlives_its_pods_and_goes_with_its_claim(
    cluster: Cluster, pods: Pods, storage_class: str, mode: str
) -> None:
    assert cluster.node is not None
    name = f"{storage_class}-data"
    cluster.api.create(claim(name, mode, storage_class))
    pods.create("writer", ["sleep", "1000"], claim=name)
    pods.wait_ready("writer")
    (volume,) = cluster.api.list_all("v1", "PersistentVolume")
    folder = cluster.node.places.volumes / volume["metadata"]["name"]
    pods.run("writer", "sh", "-c", "id -u >/data/user")
    assert (folder / "user").read_text() == "65534\n"
    assert (folder / "user").stat().st_gid == 2000

    cluster.api.request("DELETE", f"/api/v1/namespaces/{NAMESPACE}/pods/writer", {"gracePeriodSeconds": 0})
    pods.create("reader", ["sleep", "1000"], claim=name)
    pods.wait_ready("reader")
    assert pods.run("reader", "cat", "/data/user").stdout == "65534\n"

    cluster.api.request("DELETE", f"/api/v1/namespaces/{NAMESPACE}/pods/reader", {"gracePeriodSeconds": 0})
    cluster.api.delete("v1", CLAIM, name, NAMESPACE)
    until(lambda: not cluster.api.list_all("v1", "PersistentVolume"), "no volume")
    assert not folder.exists()


def test_a_claim_without_a_class_waits_for_its_pod_on_the_default_one(cluster: Cluster) -> None:
    cluster.api.create(claim("any", "ReadWriteOnce"))
    made = cluster.api.get("v1", CLAIM, "any", NAMESPACE)
    assert made is not None
    assert made["spec"]["storageClassName"] == "standard"
    until(lambda: "WaitForFirstConsumer" in reasons(cluster, "any"), "the reason")
    cluster.api.delete("v1", CLAIM, "any", NAMESPACE)


def test_a_claim_that_no_volume_of_the_class_can_serve_says_why(cluster: Cluster, pods: Pods) -> None:
    cluster.api.create(claim("many", "ReadWriteMany", "standard"))
    pods.create("waiting", ["sleep", "1000"], claim="many")
    until(lambda: "standard has no access mode ReadWriteMany" in reasons(cluster, "many"), "the reason")
    cluster.api.delete("v1", CLAIM, "many", NAMESPACE)


def reasons(cluster: Cluster, name: str) -> str:
    """Reasons and messages of the claim's events."""
    events = cluster.api.list_all("v1", "Event", NAMESPACE)
    return "\n".join(
        f"{event['reason']}: {event['message']}"
        for event in events
        if event["involvedObject"]["name"] == name
    )
