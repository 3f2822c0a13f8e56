"""A model's HorizontalPodAutoscaler: requests in flight, then queue time, GPU and CPU as guards."""

from tierup.manifests.common import MODEL_SERVER, Manifest, obj
from tierup.manifests.model_server import workload_name
from tierup.plan.model import ModelPlan, Plan

COMPONENT = "autoscaler"


def objects(plan: Plan, model: ModelPlan) -> list[Manifest]:
    """The HPA, the only owner of the Deployment's replicas; nothing when autoscaling is off."""
    if not plan.autoscaling.enabled:
        return []
    spec = {
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": workload_name(model)},
        "minReplicas": model.replicas,
        "maxReplicas": model.max_replicas,
        "metrics": _metrics(plan, model),
        "behavior": _behavior(plan, model),
    }
    return [
        obj(
            plan,
            "autoscaling/v2",
            "HorizontalPodAutoscaler",
            workload_name(model),
            COMPONENT,
            instance=model.slug,
            spec=spec,
        )
    ]


def in_flight_target(plan: Plan, model: ModelPlan) -> int:
    """Requests of a replica, running and waiting, above which another one is added."""
    return max(1, round(model.slots * plan.autoscaling.in_flight_target))


def _metrics(plan: Plan, model: ModelPlan) -> list[Manifest]:
    targets = plan.autoscaling
    return [
        _pods_metric("tierup_requests_in_flight", f"{in_flight_target(plan, model)}"),
        _pods_metric("tierup_queue_time_seconds", f"{targets.queue_time_target_ms}m"),
        _pods_metric("tierup_gpu_utilization", f"{targets.gpu_target_percent}"),
        {
            "type": "ContainerResource",
            "containerResource": {
                "name": "cpu",
                "container": MODEL_SERVER,
                "target": {"type": "Utilization", "averageUtilization": targets.cpu_target_percent},
            },
        },
    ]


def _pods_metric(name: str, average: str) -> Manifest:
    return {
        "type": "Pods",
        "pods": {"metric": {"name": name}, "target": {"type": "AverageValue", "averageValue": average}},
    }


def _behavior(plan: Plan, model: ModelPlan) -> Manifest:
    """One pod per cold start upward, because more would be requested before the first is ready."""
    cold_start = min(1800, model.startup_seconds)
    return {
        "scaleUp": {
            "stabilizationWindowSeconds": 0,
            "policies": [{"type": "Pods", "value": 1, "periodSeconds": cold_start}],
        },
        "scaleDown": {
            "stabilizationWindowSeconds": plan.autoscaling.scale_down_window_seconds,
            "policies": [{"type": "Pods", "value": 1, "periodSeconds": max(60, model.drain_seconds)}],
        },
    }
