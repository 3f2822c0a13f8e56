"""Checks that the autoscaler can work: free GPUs, targets that the metrics can reach, windows; and rollouts."""

from collections.abc import Iterator

from tierup.findings.model import Code, Finding, Severity, warning
from tierup.plan.model import ModelPlan, Plan
from tierup.plan.replicas import fits

SLOW_START_SECONDS = 600  # longer than a typical burst


def autoscaler_range(plan: Plan) -> Iterator[Finding]:
    """The replicas that the autoscaler may create must fit the GPUs."""
    ceiling, path = plan.autoscaling.max_replicas, "autoscaling.maxReplicas"
    if ceiling is None or not plan.autoscaling.enabled:
        return  # the default limit always fits the GPUs
    for index, model in enumerate(plan.models):
        if ceiling < model.replicas:
            problem = f"is below models[{index}].replicas"
            fix = f"raise it to {model.replicas}, or use fewer replicas"
            yield Finding(
                Code.AUTOSCALER_RANGE, path, problem, fix, str(ceiling), f"at least {model.replicas}"
            )
    schedulable, per_server = plan.nodes.schedulable, plan.nodes.gpus_per_server
    if not fits([(model, ceiling) for model in plan.models], len(schedulable), per_server):
        most = sum(model.gpus for model in plan.models) * ceiling
        fix = "lower it, or add servers or warm spares"
        got, allowed = f"{ceiling}, which is {most} GPUs", f"{len(schedulable)} x {per_server} GPUs"
        yield Finding(
            Code.AUTOSCALER_RANGE,
            path,
            "needs more GPUs than the running servers have",
            fix,
            got,
            allowed,
        )


def targets(plan: Plan) -> Iterator[Finding]:
    """The metrics must be able to reach the autoscaler's targets, before the promised times are missed."""
    section = plan.autoscaling
    if not section.enabled:
        return
    for model in plan.models:
        capacity = model.capacity
        if capacity is None:
            continue
        target = section.in_flight_target * model.slots
        grows = f"{model.name} scales up at {target:.0f} requests in flight per replica"
        reached, kept = capacity.users / model.replicas, capacity.most_in_flight / model.replicas
        if model.max_replicas == model.replicas:
            problem = f"{model.name} has no GPUs to scale up to: it stays at {model.replicas}"
            yield _note(
                "autoscaling.maxReplicas", problem, "add servers or warm spares so that it can scale up"
            )
        elif target >= reached:
            problem = f"{grows}; all users together make {reached:.0f}"
            yield _note(
                "autoscaling.inFlightTarget", problem, "lower it so that these users make it scale up"
            )
        elif target > kept >= 1:
            problem = f"{grows}; first limit at {kept:.0f}: {capacity.limiting_factor}"
            fix = f"use {0.75 * kept / model.slots:.2g} or less"
            yield warning(
                Code.AUTOSCALER_TARGET,
                "autoscaling.inFlightTarget",
                problem,
                fix,
                f"{section.in_flight_target:g}",
            )
    if plan.gateway.queue_length == 0:
        problem = "no request waits in an engine (gateway.queueLength is 0), so the target is never reached"
        yield warning(
            Code.AUTOSCALER_TARGET,
            "autoscaling.queueTimeTargetMs",
            problem,
            "allow a queue, or rely on the requests in flight alone",
            str(section.queue_time_target_ms),
        )


def _note(path: str, problem: str, fix: str) -> Finding:
    return Finding(Code.AUTOSCALER_TARGET, path, problem, fix, severity=Severity.NOTE)


def windows(plan: Plan) -> Iterator[Finding]:
    """The scale-down window must be longer than the start of a replica, and a start shorter than a burst."""
    if not plan.autoscaling.enabled:
        return
    window = plan.autoscaling.scale_down_window_seconds
    for index, model in enumerate(plan.models):
        grows, start = model.max_replicas > model.replicas, model.startup_seconds
        if grows and window < start:
            problem = f"is shorter than the start of {model.name} may take: a short lull would cost more than it saves"
            yield warning(
                Code.SCALE_DOWN_WINDOW,
                "autoscaling.scaleDownWindowSeconds",
                problem,
                f"use {start} or more",
                str(window),
            )
        if grows and start > SLOW_START_SECONDS:
            problem = f"a new replica may take {start} s to start: the autoscaler cannot answer a burst"
            fix = "keep enough replicas for the peak, or use cache.kind node, a smaller precision or a faster disk"
            yield warning(Code.COLD_START, f"models[{index}]", problem, fix)


def rollout(plan: Plan) -> Iterator[Finding]:
    """The capacity that each model loses during a rollout."""
    for index, model in enumerate(plan.models):
        if model.rollout.recreate:
            problem = (
                f"no GPUs are free for a second replica: a change stops it for about {model.ready_seconds} s"
            )
            fix = "add a server or a warm spare, or use a smaller parallelism"
            yield warning(Code.ROLLOUT_RECREATE, f"models[{index}]", problem, fix)
        elif model.rollout.unavailable(model.replicas):
            yield from _reduced_capacity(model, f"models[{index}]")


def _reduced_capacity(model: ModelPlan, at: str) -> Iterator[Finding]:
    left = model.replicas - model.rollout.unavailable(model.replicas)
    seconds = model.ready_seconds * model.rollout.steps(model.replicas)
    dip = f"{left} of {model.replicas} replicas serve for about {seconds} s"
    surge = f"with {model.gpus} more GPU{'' if model.gpus == 1 else 's'} none would stop"
    problem = f"every GPU is in use, so a change stops replicas in turn: {dip}; {surge}"
    short = model.capacity is not None and model.capacity.overloaded_with(left / model.replicas)
    if short:
        problem += "; the users do not fit in the meantime"
    fix = "change it at a quiet time, or add a warm spare"
    severity = Severity.WARNING if short else Severity.NOTE
    yield Finding(Code.ROLLOUT_DIP, at, problem, fix, severity=severity)
