"""The gateway's objects: safe pods, references that resolve, numbers that follow the plan."""

import copy
from collections.abc import Callable
from typing import Any

import pytest

from tierup.manifests import gateway
from tierup.manifests.common import Manifest
from tierup.plan import Plan

MakePlan = Callable[..., Plan]
TWO_MODELS = [{"id": "qwen2.5-7b"}, {"id": "qwen2.5-7b", "precision": "awq"}]


def of_kind(manifests: list[Manifest], kind: str) -> Manifest:
    (found,) = [manifest for manifest in manifests if manifest["kind"] == kind]
    return found


@pytest.mark.parametrize(
    "sections",
    [
        {},
        {"models": TWO_MODELS},
        {"gateway": {"serviceType": "LoadBalancer", "sourceRanges": ["10.0.0.0/8"]}},
    ],
)
def test_objects_are_well_formed(
    make_plan: MakePlan, well_formed: Callable[[list[Manifest]], None], sections: dict[str, Any]
) -> None:
    well_formed(gateway.objects(make_plan(**sections)))


def drop_security(spec: Manifest) -> None:
    del spec["template"]["spec"]["containers"][0]["securityContext"]["capabilities"]


def drop_volume(spec: Manifest) -> None:
    spec["template"]["spec"]["volumes"].pop()


def rename_port(spec: Manifest) -> None:
    spec["template"]["spec"]["containers"][0]["ports"][0]["name"] = "web"


def relabel(spec: Manifest) -> None:
    spec["template"]["metadata"]["labels"] = {"app.kubernetes.io/name": "other"}


@pytest.mark.parametrize("spoil", [drop_security, drop_volume, rename_port, relabel])
def test_the_check_of_objects_sees_what_is_wrong(
    make_plan: MakePlan, well_formed: Callable[[list[Manifest]], None], spoil: Callable[[Manifest], None]
) -> None:
    manifests = copy.deepcopy(gateway.objects(make_plan()))
    spoil(of_kind(manifests, "Deployment")["spec"])
    with pytest.raises((AssertionError, KeyError)):
        well_formed(manifests)


def test_config_name_changes_with_the_content_and_only_then(make_plan: MakePlan) -> None:
    def name(**said: int) -> str:
        return str(of_kind(gateway.objects(make_plan(gateway=said)), "ConfigMap")["metadata"]["name"])

    assert name() == name() == name(keepaliveTimeoutSeconds=60)
    assert name(keepaliveTimeoutSeconds=61) != name()


def test_pods_mount_the_config_that_is_there(make_plan: MakePlan) -> None:
    manifests = gateway.objects(make_plan())
    volumes = of_kind(manifests, "Deployment")["spec"]["template"]["spec"]["volumes"]
    config = of_kind(manifests, "ConfigMap")["metadata"]["name"]
    assert {"name": "config", "configMap": {"name": config}} in volumes


@pytest.mark.parametrize(
    ("replicas", "queue", "gateways", "limit"),
    [(1, 0, 1, 16), (2, 0, 2, 8), (2, 16, 2, 16), (2, 1, 2, 9), (1, 100, 3, 39)],
)
def test_in_flight_limit_is_slots_and_queue_over_gateways(
    make_plan: MakePlan, replicas: int, queue: int, gateways: int, limit: int
) -> None:
    plan = make_plan(
        models=[{"id": "qwen2.5-7b", "replicas": replicas}],
        gateway={"queueLength": queue, "replicas": gateways},
    )
    assert plan.models[0].slots * replicas == 16
    assert gateway.in_flight_limit(plan, plan.models[0]) == limit
    assert f"limit_conn in_flight {limit};" in gateway.nginx_conf(plan)


def test_a_pod_outlives_its_longest_stream(make_plan: MakePlan) -> None:
    plan = make_plan()
    pod = of_kind(gateway.objects(plan), "Deployment")["spec"]["template"]["spec"]
    prestop = pod["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert pod["terminationGracePeriodSeconds"] > prestop + plan.gateway.read_timeout_seconds


def test_a_rollout_never_lowers_the_number_of_gateways(make_plan: MakePlan) -> None:
    spec = of_kind(gateway.objects(make_plan()), "Deployment")["spec"]
    assert spec["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}
    assert spec["replicas"] == 2


def test_the_upstream_is_the_headless_service_followed_through_dns(make_plan: MakePlan) -> None:
    text = gateway.nginx_conf(make_plan(models=TWO_MODELS))
    for slug in ("qwen2-5-7b", "qwen2-5-7b-awq"):
        assert f"server model-{slug}.tierup-test.svc.cluster.local:8000 resolve;" in text
    assert f"resolver {gateway.RESOLVER};" in text


def test_the_guides_numbers_are_the_defaults(make_plan: MakePlan) -> None:
    text = gateway.nginx_conf(make_plan())
    assert "keepalive_timeout 60s;" in text
    assert "client_body_buffer_size 128k;" in text


def test_a_load_balancer_lets_in_only_its_ranges(make_plan: MakePlan) -> None:
    said = {"serviceType": "LoadBalancer", "sourceRanges": ["10.0.0.0/8", "192.0.2.0/24"]}
    manifests = gateway.objects(make_plan(gateway=said))
    service = of_kind(manifests, "Service")["spec"]
    assert service["loadBalancerSourceRanges"] == said["sourceRanges"]
    assert service["externalTrafficPolicy"] == "Local"
    clients = of_kind(manifests, "NetworkPolicy")["spec"]["ingress"][0]
    assert [peer["ipBlock"]["cidr"] for peer in clients["from"] if "ipBlock" in peer] == said["sourceRanges"]


def test_inside_the_cluster_nothing_is_exposed(make_plan: MakePlan) -> None:
    manifests = gateway.objects(make_plan())
    assert of_kind(manifests, "Service")["spec"]["type"] == "ClusterIP"
    clients, metrics = of_kind(manifests, "NetworkPolicy")["spec"]["ingress"]
    assert clients == {"from": [{"namespaceSelector": {}}], "ports": [{"protocol": "TCP", "port": 8080}]}
    assert [port["port"] for port in metrics["ports"]] == [8081]
    assert metrics["from"][0]["podSelector"]["matchLabels"]["app.kubernetes.io/name"] == "prometheus"
