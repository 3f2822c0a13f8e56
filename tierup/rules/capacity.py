"""Decides whether a model's replicas hold its users: promises kept, space, slots and long jobs, with numbers."""

from collections.abc import Iterator
from dataclasses import dataclass

from tierup.findings.model import Code, Finding, Severity, warning
from tierup.plan.model import ClassCapacity, ModelCapacity, ModelPlan, Plan
from tierup.sizing import Range

LITTLE_HEADROOM = 1.2  # users grow, and the sizing model errs by about as much at the median
_MORE = "use fewer users, a faster precision, more replicas or more servers, or promise less"


def capacity_rules(plan: Plan, model: ModelPlan, at: str) -> Iterator[Finding]:
    """The users against what the replicas at rest can answer as promised."""
    known = model.capacity
    if known is None:
        return  # told as what does not fit or divide
    for item in known.classes:
        first = _Promise(Code.SLOW_FIRST_TOKEN, "ttftMs", item.ttft_ms, item.ttft_target_ms)
        each = _Promise(Code.SLOW_TOKENS, "tpotMs", item.tpot_ms, item.tpot_target_ms)
        yield from _kept(first, item, model)
        yield from _kept(each, item, model)
    if 1 <= known.headroom < LITTLE_HEADROOM:
        limit = f"{known.limiting_factor} breaks ({known.bottleneck})"
        problem = f"{model.name} holds {int(known.most_users)}, then {limit}"
        yield warning(Code.LITTLE_HEADROOM, "workload.users", problem, _MORE, f"{known.users:.0f}")
    yield from _space(model, known, at)
    yield from _long_jobs(plan, model, known)
    yield from _all_at_once(plan, model, known)


@dataclass(frozen=True)
class _Promise:
    code: Code
    key: str
    figure: Range
    target: float


def _kept(said: _Promise, item: ClassCapacity, model: ModelPlan) -> Iterator[Finding]:
    """An error where even the fast end of the range is too slow, a warning where the middle is."""
    figure, path, got = said.figure, f"workload.classes.{item.name}.{said.key}", f"{said.target:g} ms"
    if figure.high <= said.target:
        return
    if figure.p50 <= said.target:
        problem = f"{model.name} keeps it as expected ({_span(figure)}), not at the slow end of the range"
        fix = "load-test before going live"
        yield Finding(said.code, path, problem, fix, got, severity=Severity.NOTE)
        return
    certain = figure.low > said.target
    word = "cannot keep it" if certain else "probably does not keep it"
    problem = (
        f"{model.name} {word} with {item.in_flight:.0f} requests of this class in flight ({_span(figure)})"
    )
    severity = Severity.ERROR if certain else Severity.WARNING
    yield Finding(said.code, path, problem, _MORE, got, f"{figure.p50:.3g} ms or more", severity)


def _span(figure: Range) -> str:
    return f"{figure.low:.4g} to {figure.high:.4g} ms"


def _space(model: ModelPlan, known: ModelCapacity, at: str) -> Iterator[Finding]:
    """Slots against the KV cache: past it the engine pre-empts, and computes a request's tokens again."""
    held = known.memory.kv_tokens / known.request_tokens
    if model.slots > held:
        problem = (
            f"the KV cache holds {held:.0f} running requests of the workload's mean: others are pre-empted"
        )
        fix = f"use {held:.0f}, a smaller precision, kvCacheDtype fp8 or more GPUs per replica"
        yield warning(Code.KV_SLOTS, f"{at}.maxNumSeqs", problem, fix, str(model.slots))


def _long_jobs(plan: Plan, model: ModelPlan, known: ModelCapacity) -> Iterator[Finding]:
    """What all classes but the most urgent want at once, against the slots that the cap leaves them."""
    first = max(item.priority for item in plan.classes.values())
    wanted = sum(item.in_flight for item in known.classes if plan.classes[item.name].priority < first)
    left = round(model.slots * plan.gateway.longform_cap) * model.replicas
    if wanted > left:
        problem = (
            f"long jobs want {wanted:.0f} slots of {model.name} and may hold {left}: the others are told 429"
        )
        fix = "raise it, the model's maxNumSeqs or the replicas, or expect fewer long jobs (share)"
        yield warning(
            Code.LONGFORM_DEMAND, "gateway.longformCap", problem, fix, f"{plan.gateway.longform_cap:g}"
        )


def _all_at_once(plan: Plan, model: ModelPlan, known: ModelCapacity) -> Iterator[Finding]:
    """Every user sending in one moment, against slots and queue together."""
    room = model.slots * model.replicas + plan.gateway.queue_length
    if known.users > room:
        problem = f"if all users send at once, {known.users - room:.0f} of them are told 429 by {model.name}"
        fix = f"use {known.users - room + plan.gateway.queue_length:.0f}, or more slots"
        yield warning(Code.BURST_REFUSED, "gateway.queueLength", problem, fix, str(plan.gateway.queue_length))


def claim(plan: Plan) -> Iterator[Finding]:
    """The users against what the hardware guide says of the server."""
    said = plan.nodes.server.claim
    if said is None or said.users.high is None:
        return
    most, servers = said.users.high * len(plan.nodes.in_service), len(plan.nodes.in_service)
    if plan.users > most:
        problem = f"the hardware guide gives {servers} x {plan.nodes.server_id} at most {most:.0f}"
        fix = "trust the computed headroom only after a load test"
        yield Finding(
            Code.ABOVE_CLAIM, "workload.users", problem, fix, str(plan.users), severity=Severity.NOTE
        )
