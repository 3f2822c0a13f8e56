"""Decides whether the autoscaler can do its work: GPUs to grow into, targets it can reach, windows that fit."""

from collections.abc import Iterator

from tierup.findings.model import Code, Finding, Severity, warning
from tierup.plan.model import ModelPlan, Plan
from tierup.plan.replicas import fits

SLOW_START_SECONDS = 600  # a burst is over by then


def autoscaler_range(plan: Plan) -> Iterator[Finding]:
    """GPUs against what the autoscaler may ask for."""
    ceiling, path = plan.autoscaling.max_replicas, "autoscaling.maxReplicas"
    if ceiling is None or not plan.autoscaling.enabled:
        return  # the default is what the GPUs hold
    for index, model in enumerate(plan.models):
        if ceiling < model.replicas:
            problem = f"is below models[{index}].replicas"
            fix = f"raise it to {model.replicas}, or ask for fewer replicas"
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
            "asks for more GPUs than the servers that are up hold",
            fix,
            got,
            allowed,
        )


def targets(plan: Plan) -> Iterator[Finding]:
    """The autoscaler's targets against what its metrics can reach, and against the promises."""
    said = plan.autoscaling
    if not said.enabled:
        return
    for model in plan.models:
        known = model.capacity
        if known is None:
            continue
        goal = said.in_flight_target * model.slots
        reached, kept = known.users / model.replicas, known.most_in_flight / model.replicas
        if model.max_replicas == model.replicas:
            problem = f"{model.name} has no GPUs to grow into: it stays at {model.replicas}"
            yield _note("autoscaling.maxReplicas", problem, "add servers or warm spares to let it grow")
        elif goal >= reached:
            problem = (
                f"{model.name} grows at {goal:.0f} in flight per replica; all users at once are {reached:.0f}"
            )
            yield _note("autoscaling.inFlightTarget", problem, "lower it to grow for these users")
        elif goal > kept >= 1:
            limit = f"{known.limiting_factor} breaks at {kept:.0f}"
            problem = f"{model.name} grows at {goal:.0f} in flight per replica; {limit}"
            fix = f"use {0.75 * kept / model.slots:.2g} or less"
            yield warning(
                Code.AUTOSCALER_TARGET,
                "autoscaling.inFlightTarget",
                problem,
                fix,
                f"{said.in_flight_target:g}",
            )
    if plan.gateway.queue_length == 0:
        problem = "nothing ever waits in an engine (gateway.queueLength is 0): the target is never reached"
        yield warning(
            Code.AUTOSCALER_TARGET,
            "autoscaling.queueTimeTargetMs",
            problem,
            "let some requests wait, or rely on the requests in flight alone",
            str(said.queue_time_target_ms),
        )


def _note(path: str, problem: str, fix: str) -> Finding:
    return Finding(Code.AUTOSCALER_TARGET, path, problem, fix, severity=Severity.NOTE)


def windows(plan: Plan) -> Iterator[Finding]:
    """How long a replica takes to start, against the window after which one is taken away."""
    if not plan.autoscaling.enabled:
        return
    window = plan.autoscaling.scale_down_window_seconds
    for index, model in enumerate(plan.models):
        grows, start = model.max_replicas > model.replicas, model.startup_seconds
        if grows and window < start:
            problem = f"is shorter than {model.name} may take to start: a lull would cost more than it saves"
            yield warning(
                Code.SCALE_DOWN_WINDOW,
                "autoscaling.scaleDownWindowSeconds",
                problem,
                f"use {start} or more",
                str(window),
            )
        if grows and start > SLOW_START_SECONDS:
            problem = f"a new replica may take {start} s to start: the autoscaler answers no burst"
            fix = "keep replicas at rest for the peak, or use cache.kind node, a smaller precision or a faster disk"
            yield warning(Code.COLD_START, f"models[{index}]", problem, fix)


def rollout(plan: Plan) -> Iterator[Finding]:
    """What a change of each model costs while it rolls, and what the other strategies would cost."""
    for index, model in enumerate(plan.models):
        if model.rollout.recreate:
            problem = (
                f"no GPUs are left for a second replica: a change stops it for about {model.ready_seconds} s"
            )
            fix = "add a server or a warm spare, or use a smaller parallelism"
            yield warning(Code.ROLLOUT_RECREATE, f"models[{index}]", problem, fix)
        elif model.rollout.unavailable(model.replicas):
            yield from _dip(model, f"models[{index}]")


def _dip(model: ModelPlan, at: str) -> Iterator[Finding]:
    left = model.replicas - model.rollout.unavailable(model.replicas)
    seconds = model.ready_seconds * model.rollout.steps(model.replicas)
    dip = f"{left} of {model.replicas} replicas serve for about {seconds} s"
    surge = f"with {model.gpus} more GPU{'' if model.gpus == 1 else 's'} up none would be missing"
    problem = f"every GPU is in use: a change takes replicas away in turn, {dip}; {surge}"
    short = model.capacity is not None and model.capacity.overloaded_with(left / model.replicas)
    if short:
        problem += "; meanwhile the users do not fit"
    fix = "change it when few users are there, or add a warm spare"
    severity = Severity.WARNING if short else Severity.NOTE
    yield Finding(Code.ROLLOUT_DIP, at, problem, fix, severity=severity)
