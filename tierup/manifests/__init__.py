"""Renders a plan as Kubernetes objects: plain dicts, one module per component."""

from tierup.manifests import autoscaler, base, gateway, model_cache, model_server, monitoring, nodes
from tierup.manifests.common import Manifest
from tierup.plan.model import Plan
from tierup.resources.identity import RETAIN_ANNOTATION


def render(plan: Plan) -> list[Manifest]:
    """Every object of the tier, in the order in which they are best applied."""
    manifests = [
        *base.objects(plan),
        *nodes.objects(plan),
        *model_cache.objects(plan),
        *model_server.shared_objects(plan),
    ]
    for model in plan.models:
        manifests.extend(model_server.objects(plan, model))
        manifests.extend(autoscaler.objects(plan, model))
    return [*manifests, *gateway.objects(plan), *monitoring.objects(plan)]


def retained(plan: Plan) -> list[str]:
    """What `destroy` leaves behind on purpose, as kind/name: volumes to be kept, and their namespace."""
    kept = [m for m in render(plan) if m["metadata"].get("annotations", {}).get(RETAIN_ANNOTATION) == "true"]
    return [f"{m['kind'].lower()}/{m['metadata']['name']}" for m in kept]
