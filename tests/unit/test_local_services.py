"""What a local cluster gives its pods: storage classes, alike on real and simulated nodes, and a DNS server."""

from typing import Any

from tierup.local.cluster.dns import dns_objects
from tierup.local.cluster.fake_nodes import ensure_volumes
from tierup.local.cluster.storage_classes import made_on_demand
from tierup.local.node.config import DNS_ADDRESS
from tierup.manifests.common import DNS_EGRESS

DEFAULT = "storageclass.kubernetes.io/is-default-class"


class Recorder:
    """An API server without volumes that keeps what is applied."""

    def __init__(self) -> None:
        self.applied: list[dict[str, Any]] = []

    def list_all(self, *_: object, **__: object) -> list[dict[str, Any]]:
        return []

    def apply(self, *objects: dict[str, Any]) -> None:
        self.applied += objects

    def wait(self, *_: object, **__: object) -> None:
        pass


def test_a_stack_s_claims_find_the_same_classes_on_real_and_simulated_nodes() -> None:
    api = Recorder()
    ensure_volumes(api)  # type: ignore[arg-type]
    simulated = {obj["metadata"]["name"]: obj for obj in api.applied if obj["kind"] == "StorageClass"}
    real = {obj["metadata"]["name"]: obj for obj in made_on_demand()}
    assert set(real) == set(simulated) == {"shared", "standard"}
    for name, obj in real.items():
        assert obj["metadata"] == simulated[name]["metadata"]
        assert obj["volumeBindingMode"] == simulated[name]["volumeBindingMode"]
        volumes = [
            v
            for v in api.applied
            if v["kind"] == "PersistentVolume" and v["spec"]["storageClassName"] == name
        ]
        assert volumes
        modes = obj["parameters"]["accessModes"].split(",")
        assert all(volume["spec"]["accessModes"] == modes for volume in volumes)
    assert [name for name, obj in real.items() if DEFAULT in obj["metadata"]["annotations"]] == ["standard"]


def test_the_dns_server_is_restricted_and_only_on_the_real_node() -> None:
    objects = {obj["kind"]: obj for obj in dns_objects("a-node")}
    pod = objects["Deployment"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert pod["nodeSelector"] == {"kubernetes.io/hostname": "a-node"}
    assert pod["securityContext"]["runAsNonRoot"]
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert container["securityContext"]["readOnlyRootFilesystem"]
    assert objects["Service"]["spec"]["clusterIP"] == DNS_ADDRESS


def test_the_dns_rule_of_a_tier_s_policies_allows_this_server() -> None:
    objects = {obj["kind"]: obj for obj in dns_objects("a-node")}
    labels = objects["Deployment"]["spec"]["template"]["metadata"]["labels"]
    (peer,) = DNS_EGRESS["to"]
    assert labels == peer["podSelector"]["matchLabels"]
    (port,) = {rule["port"] for rule in DNS_EGRESS["ports"]}
    assert objects["ConfigMap"]["data"]["Corefile"].startswith(f".:{port} {{")
    ports = objects["Service"]["spec"]["ports"]
    assert {(item["protocol"], item["port"]) for item in ports} == {("UDP", port), ("TCP", port)}
    assert not any("targetPort" in item for item in ports), "the pod listens on the Service's port"
