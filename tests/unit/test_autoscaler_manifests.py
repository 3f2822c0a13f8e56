"""The autoscaler: one owner of replicas, bounds that the GPUs hold, targets that the metrics can reach."""

from collections.abc import Callable
from typing import Any

import pytest
from tier_plans import every_variant

from tierup.manifests import autoscaler, render
from tierup.manifests.common import Manifest
from tierup.plan.model import Plan

MakePlan = Callable[..., Plan]


def hpas(manifests: list[Manifest]) -> list[Manifest]:
    return [item for item in manifests if item["kind"] == "HorizontalPodAutoscaler"]


def one_spec(plan: Plan) -> dict[str, Any]:
    (found,) = autoscaler.objects(plan, plan.models[0])
    spec: dict[str, Any] = found["spec"]
    return spec


def model_deployments(manifests: list[Manifest]) -> dict[str, Manifest]:
    return {
        item["metadata"]["name"]: item
        for item in manifests
        if item["kind"] == "Deployment" and item["metadata"]["name"].startswith("model-")
    }


@every_variant
def test_replicas_have_exactly_one_owner(plan: Plan) -> None:
    manifests = render(plan)
    targets = [item["spec"]["scaleTargetRef"] for item in hpas(manifests)]
    assert all(target["apiVersion"] == "apps/v1" and target["kind"] == "Deployment" for target in targets)
    owned = [target["name"] for target in targets]
    deployments = model_deployments(manifests)
    assert sorted(owned) == sorted(deployments if plan.autoscaling.enabled else [])
    for name, item in deployments.items():
        assert ("replicas" in item["spec"]) is (name not in owned)


@pytest.mark.parametrize("enabled", [True, False])
def test_without_an_autoscaler_the_deployment_sets_its_replicas(make_plan: MakePlan, enabled: bool) -> None:
    manifests = render(make_plan(autoscaling={"enabled": enabled}))
    (deployment,) = model_deployments(manifests).values()
    assert len(hpas(manifests)) == int(enabled)
    assert deployment["spec"].get("replicas") == (None if enabled else 2)


@every_variant
def test_the_bounds_are_what_the_gpus_hold(plan: Plan) -> None:
    assert sum(model.max_replicas * model.gpus for model in plan.models) <= plan.nodes.gpus_schedulable
    for model in plan.models:
        for item in autoscaler.objects(plan, model):
            assert item["spec"]["minReplicas"] == model.replicas
            assert item["spec"]["maxReplicas"] == model.max_replicas
            assert 1 <= model.replicas <= model.max_replicas


def test_requests_in_flight_come_first_then_queue_time_then_the_guards(make_plan: MakePlan) -> None:
    settings = {"enabled": True, "inFlightTarget": 0.75, "queueTimeTargetMs": 900}
    settings |= {"gpuTargetPercent": 95, "cpuTargetPercent": 90}
    plan = make_plan(models=[{"id": "qwen2.5-7b", "maxNumSeqs": 16}], autoscaling=settings)
    in_flight, queue, gpu, cpu = one_spec(plan)["metrics"]

    def pods_metric(name: str, value: str) -> Manifest:
        target = {"type": "AverageValue", "averageValue": value}
        return {"type": "Pods", "pods": {"metric": {"name": name}, "target": target}}

    assert in_flight == pods_metric("tierup_requests_in_flight", "12")
    assert queue == pods_metric("tierup_queue_time_seconds", "900m")
    assert gpu == pods_metric("tierup_gpu_utilization", "95")
    assert cpu["containerResource"] == {
        "name": "cpu",
        "container": "model-server",
        "target": {"type": "Utilization", "averageUtilization": 90},
    }


@every_variant
def test_the_guarded_container_exists(plan: Plan) -> None:
    manifests = render(plan)
    for item in hpas(manifests):
        pod = model_deployments(manifests)[item["spec"]["scaleTargetRef"]["name"]]["spec"]["template"]["spec"]
        named = {metric["containerResource"]["container"] for metric in item["spec"]["metrics"][3:]}
        assert named == {pod["containers"][0]["name"]}


@pytest.mark.parametrize(("slots", "target", "value"), [(1, 0.5, "1"), (8, 1.0, "8"), (100, 0.7, "70")])
def test_the_in_flight_target_is_never_zero_nor_above_the_slots(
    make_plan: MakePlan, slots: int, target: float, value: str
) -> None:
    model = {"id": "qwen2.5-7b", "maxNumSeqs": slots}
    plan = make_plan(models=[model], autoscaling={"enabled": True, "inFlightTarget": target})
    assert one_spec(plan)["metrics"][0]["pods"]["target"]["averageValue"] == value


@every_variant
def test_one_pod_is_added_per_cold_start_and_taken_away_slowly(plan: Plan) -> None:
    for model in plan.models:
        for item in autoscaler.objects(plan, model):
            up, down = item["spec"]["behavior"]["scaleUp"], item["spec"]["behavior"]["scaleDown"]
            (policy,) = up["policies"]
            assert (policy["type"], policy["value"]) == ("Pods", 1)
            assert min(1800, model.startup_seconds) <= policy["periodSeconds"] <= 1800  # the API's limit
            assert down["stabilizationWindowSeconds"] == plan.autoscaling.scale_down_window_seconds >= 300
            assert all(policy["value"] == 1 for policy in down["policies"])
            assert all(policy["periodSeconds"] <= 1800 for policy in down["policies"])
