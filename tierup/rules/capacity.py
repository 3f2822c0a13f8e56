"""Checks that a model's replicas can serve its users: promised times, KV cache, slots and long jobs."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from tierup.findings.model import Code, Finding, Severity, warning
from tierup.plan.longform import CAP, allowed_slots, wanted_slots
from tierup.plan.model import ClassCapacity, ModelCapacity, ModelPlan, Plan
from tierup.sizing import Range

LITTLE_HEADROOM = 1.2  # the number of users grows, and the median error of the sizing model is about as large
_MORE = "use fewer users, a faster precision, more replicas or more servers, or promise less"


def capacity_rules(plan: Plan, model: ModelPlan, at: str) -> Iterator[Finding]:
    """The replicas must serve the users within the promised times, before the autoscaler adds any."""
    capacity = model.capacity
    if capacity is None:
        return  # the rules of weights and parallelism report it
    for item in capacity.classes:
        first = _Promise(Code.SLOW_FIRST_TOKEN, "ttftMs", item.ttft_ms, item.ttft_target_ms)
        each = _Promise(Code.SLOW_TOKENS, "tpotMs", item.tpot_ms, item.tpot_target_ms)
        yield from _check_promise(first, item, model)
        yield from _check_promise(each, item, model)
    if 1 <= capacity.headroom < LITTLE_HEADROOM:
        limit = f"{capacity.limiting_factor} ({capacity.bottleneck})"
        problem = f"{model.name} holds {int(capacity.most_users)} users; first limit: {limit}"
        yield warning(Code.LITTLE_HEADROOM, "workload.users", problem, _MORE, f"{capacity.users:.0f}")
    yield from _kv_cache(model, capacity, at)
    yield from _long_jobs(plan, model)
    yield from _all_at_once(plan, model, capacity)


@dataclass(frozen=True)
class _Promise:
    code: Code
    key: str
    figure: Range
    target: float


def _check_promise(promise: _Promise, item: ClassCapacity, model: ModelPlan) -> Iterator[Finding]:
    """An error if even the fast end of the range is too slow, a warning if the median is, a note if the slow end is."""
    figure, path, got = (
        promise.figure,
        f"workload.classes.{item.name}.{promise.key}",
        f"{promise.target:g} ms",
    )
    if figure.high <= promise.target:
        return
    if figure.p50 <= promise.target:
        problem = (
            f"{model.name} probably keeps it, but not at the slow end of the range ({_range_text(figure)})"
        )
        fix = "load-test before going live"
        yield Finding(promise.code, path, problem, fix, got, severity=Severity.NOTE)
        return
    certain = figure.low > promise.target
    word = "cannot keep it" if certain else "probably does not keep it"
    problem = f"{model.name} {word} with {item.in_flight:.0f} requests of this class in flight ({_range_text(figure)})"
    severity = Severity.ERROR if certain else Severity.WARNING
    yield Finding(promise.code, path, problem, _MORE, got, f"{figure.p50:.3g} ms or more", severity)


def _range_text(figure: Range) -> str:
    return f"{figure.low:.4g} to {figure.high:.4g} ms"


def _kv_cache(model: ModelPlan, capacity: ModelCapacity, at: str) -> Iterator[Finding]:
    """The KV cache should hold a request in every slot; otherwise the engine preempts requests and recomputes them."""
    sequences = capacity.memory.kv_tokens / capacity.request_tokens
    if model.slots > sequences:
        problem = (
            f"the KV cache holds {sequences:.0f} running requests of mean length: the others are preempted"
        )
        fix = f"use {sequences:.0f}, a smaller precision, kvCacheDtype fp8 or more GPUs per replica"
        yield warning(Code.KV_SLOTS, f"{at}.maxNumSeqs", problem, fix, str(model.slots))


def _long_jobs(plan: Plan, model: ModelPlan) -> Iterator[Finding]:
    """The longform cap should leave enough slots for the classes that it holds for."""
    wanted, left = wanted_slots(plan, model), allowed_slots(plan, model, plan.gateway.longform_cap)
    if wanted <= left:
        return
    problem = (
        f"long jobs need {math.ceil(wanted)} slots of {model.name} and may use {left}: the others get 429"
    )
    if any(default.path == CAP for default in plan.defaults):  # no other default holds them either
        yield warning(Code.LONGFORM_DEMAND, "workload.users", problem, _MORE, str(plan.users))
        return
    fix = "raise it, the model's maxNumSeqs or the replicas, or expect fewer long jobs (share)"
    yield warning(Code.LONGFORM_DEMAND, CAP, problem, fix, f"{plan.gateway.longform_cap:g}")


def _all_at_once(plan: Plan, model: ModelPlan, capacity: ModelCapacity) -> Iterator[Finding]:
    """Slots and queue together should hold one request of every user."""
    room = model.slots * model.replicas + plan.gateway.queue_length
    if capacity.users > room:
        problem = f"if all users send at once, {capacity.users - room:.0f} of them get 429 from {model.name}"
        enough, key = f"{capacity.users - room + plan.gateway.queue_length:.0f}", "gateway.queueLength"
        if any(default.path == key for default in plan.defaults):
            fix = f"set {key} to {enough}, or use more slots"
            yield warning(Code.BURST_REFUSED, "workload.users", problem, fix, str(plan.users))
            return
        fix = f"use {enough}, or more slots"
        yield warning(Code.BURST_REFUSED, key, problem, fix, str(plan.gateway.queue_length))


def claim(plan: Plan) -> Iterator[Finding]:
    """A note if there are more users than the hardware guide claims for the server."""
    guide = plan.nodes.server.claim
    if guide is None or guide.users.high is None:
        return
    if not all(guide.is_about(model.spec) for model in plan.models):
        return  # the claim is about models of another size
    most, servers = guide.users.high * len(plan.nodes.in_service), len(plan.nodes.in_service)
    if plan.users > most:
        problem = f"the hardware guide claims at most {most:.0f} for {servers} x {plan.nodes.server_id}"
        fix = "trust the computed headroom only after a load test"
        yield Finding(
            Code.ABOVE_CLAIM, "workload.users", problem, fix, str(plan.users), severity=Severity.NOTE
        )
