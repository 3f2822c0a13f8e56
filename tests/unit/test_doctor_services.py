"""What a cluster serves: API kinds, metrics that answer, DNS of which only a pod knows whether it works."""

from collections.abc import Callable

from fake_api import FakeApi

from tierup.io.cluster.client import Cluster
from tierup.io.cluster.doctor import services
from tierup.io.cluster.doctor.model import Status
from tierup.manifests import render
from tierup.plan.model import Plan

MakePlan = Callable[..., Plan]
WARM = {"server": "entry-2x-rtx-4090", "count": 1, "standby": {"mode": "warm", "count": 1}}
CUSTOM, RESOURCE = "custom.metrics.k8s.io", "metrics.k8s.io"
GROUPS = {CUSTOM: f"{CUSTOM}/v1beta2", RESOURCE: f"{RESOURCE}/v1beta1"}
SLICES = (
    "/apis/discovery.k8s.io/v1/namespaces/kube-system/endpointslices"
    "?labelSelector=kubernetes.io%2Fservice-name%3Dkube-dns"
)


def serves(api: FakeApi, plan: Plan, *without: str) -> None:
    """The API serves every kind of the plan but these."""
    for version in {item["apiVersion"] for item in render(plan)}:
        root = f"/apis/{version}" if "/" in version else f"/api/{version}"
        kinds = {item["kind"] for item in render(plan) if item["apiVersion"] == version} - set(without)
        api.holds(root, {"resources": [{"kind": kind} for kind in kinds]})


def test_kinds_that_the_cluster_does_not_serve_are_named(
    api: FakeApi, cluster: Cluster, make_plan: MakePlan
) -> None:
    plan = make_plan()
    serves(api, plan)
    (check,) = services.apis(cluster, render(plan), {})
    assert check.status is Status.OK
    assert "KEDA" not in check.found
    assert "KEDA is installed" in services.apis(cluster, render(plan), {"keda.sh": ""})[0].found
    serves(api, plan, "HorizontalPodAutoscaler")
    (check,) = services.apis(cluster, render(plan), {})
    assert check.found == "the cluster does not serve HorizontalPodAutoscaler of autoscaling/v2"
    api.responses.pop("/apis/autoscaling/v2")
    api.missing.add("/apis/autoscaling/v2")
    assert services.apis(cluster, render(plan), {}) == [check]


def test_metrics_must_answer_and_not_only_be_registered(
    api: FakeApi, cluster: Cluster, make_plan: MakePlan
) -> None:
    plan = make_plan(nodes=WARM)
    for version in GROUPS.values():
        api.holds(f"/apis/{version}", {"resources": []})
    (check,) = services.metrics(cluster, plan, GROUPS)
    assert (check.status, check.found) == (Status.OK, f"{CUSTOM} and {RESOURCE} answer")
    api.responses[f"/apis/{CUSTOM}/v1beta2"] = (503, b"service unavailable")
    (check,) = services.metrics(cluster, plan, GROUPS)
    assert check.status is Status.WARNING
    assert check.found == f"{CUSTOM} is registered, and its server does not answer"


def test_metrics_are_missed_only_where_a_model_may_grow(
    api: FakeApi, cluster: Cluster, make_plan: MakePlan
) -> None:
    (check,) = services.metrics(cluster, make_plan(nodes=WARM), {})
    assert (check.status, check.fix) == (Status.WARNING, "install metrics-server")
    (check,) = services.metrics(cluster, make_plan(nodes=WARM, autoscaling={"enabled": False}), {})
    assert check.status is Status.OK


def test_dns_is_never_ok_without_a_pod(api: FakeApi, cluster: Cluster) -> None:
    endpoints = [{"conditions": {"ready": True}}, {"conditions": {"ready": False}}, {"conditions": {}}]
    api.has(SLICES, {"endpoints": endpoints})
    check = services.dns(cluster)
    assert check.status is Status.NOT_CHECKED
    assert "2 ready endpoints" in check.found
    for slices in ([], [{"endpoints": None}], [{"endpoints": [{"conditions": {"ready": False}}]}]):
        api.has(SLICES, *slices)
        assert services.dns(cluster).status is Status.WARNING
    api.responses[SLICES] = (403, b"{}")
    assert services.dns(cluster).status is Status.NOT_CHECKED
