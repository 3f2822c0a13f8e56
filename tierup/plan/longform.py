"""How many of a model's slots its capped classes, such as long jobs, need and may use."""

import math
from dataclasses import replace
from fractions import Fraction

from tierup.plan.model import Default, ModelPlan, Plan

CAP = "gateway.longformCap"
# From half of the slots upward in steps of a twentieth: the first that holds the long jobs is the default.
_CANDIDATES = tuple(Fraction(part, 20) for part in range(10, 20))


def wanted_slots(plan: Plan, model: ModelPlan) -> float:
    """The mean number of requests of the capped classes in flight; 0 for a model without a capacity."""
    capped = {rule.name for rule in plan.gateway.classes if rule.capped}
    classes = model.capacity.classes if model.capacity is not None else ()
    return sum(item.in_flight for item in classes if item.name in capped)


def allowed_slots(plan: Plan, model: ModelPlan, cap: float | Fraction) -> int:
    """The slots of all replicas that the capped classes may use, as the gateway's instances count them."""
    gateways = plan.gateway.replicas
    each = math.floor(Fraction(str(cap)) * model.slots * model.replicas / gateways)
    return max(1, each) * gateways


def slots_of_replica(model: ModelPlan, cap: float | Fraction) -> int:
    """The same for one replica behind one gateway."""
    return round(model.slots * cap)


def with_longform_cap(plan: Plan) -> Plan:
    """The plan with a default cap that holds its long jobs, where every request has a slot; else the plan itself."""
    index = next((i for i, default in enumerate(plan.defaults) if default.path == CAP), None)
    if index is None or not all(_has_room(model) for model in plan.models):
        return plan
    cap = next((cap for cap in _CANDIDATES if _holds(plan, cap)), None)
    if cap is None or float(cap) == plan.gateway.longform_cap:
        return plan
    why = "half of the slots do not hold this workload's long jobs; the others have slots enough"
    defaults = list(plan.defaults)
    defaults[index] = Default(CAP, f"{float(cap):g}", why)
    return replace(plan, gateway=replace(plan.gateway, longform_cap=float(cap)), defaults=tuple(defaults))


def _has_room(model: ModelPlan) -> bool:
    return model.capacity is not None and model.capacity.in_flight <= model.slots * model.replicas


def _holds(plan: Plan, cap: Fraction) -> bool:
    return all(
        wanted_slots(plan, model) <= allowed_slots(plan, model, cap)
        and 1 <= slots_of_replica(model, cap) < model.slots
        for model in plan.models
    )
