"""Checks each model against the facts of its engine. An engine that no model uses is not checked."""

from collections.abc import Iterator

from tierup.catalog.engine import DEFAULT_ENGINE, EngineFacts, engine_facts
from tierup.findings.model import Code, Finding, warning
from tierup.plan.model import ModelPlan, Plan


def image_rules(plan: Plan, model: ModelPlan, at: str) -> Iterator[Finding]:
    """The engine's image must support the format of the weights, and its version the model."""
    facts = engine_facts(model.engine)
    format_image = facts.format_images.get(model.variant.format)
    if format_image is not None:
        if plan.images.by_key[format_image.key] is None:
            yield Finding(
                Code.GGUF_IMAGE,
                f"{at}.precision",
                format_image.problem,
                format_image.fix,
                str(model.precision),
            )
    elif facts.versions_differ:
        yield from _last_version(plan, model, at, facts)


def _last_version(plan: Plan, model: ModelPlan, at: str, facts: EngineFacts) -> Iterator[Finding]:
    """Later versions of the engine may no longer support the model."""
    last, version = (
        model.spec.last_engine_version.value,
        version_numbers(plan.images.engine_tag(model.engine)),
    )
    if last is not None and version > version_numbers(last):
        key = f"images.{facts.image.key}"
        problem = f"{facts.title} serves {model.spec_id} up to {last} only"
        fix = f"use another model, or {key}: {facts.image.of(last)}"
        got = f"{key} {plan.images.engine(model.engine)}"
        yield Finding(Code.ENGINE_TOO_NEW, f"{at}.id", problem, fix, got, f"up to v{last}")


def version_numbers(text: str) -> tuple[int, ...]:
    """The version in a tag; empty if the tag has none."""
    plain = text.removeprefix("v").partition("-")[0]
    return tuple(int(part) for part in plain.split(".") if part.isdigit())


def model_support(_plan: Plan, model: ModelPlan, at: str) -> Iterator[Finding]:
    """The engine must support the weights, the code and the name of the model."""
    facts = engine_facts(model.engine)
    if model.precision not in facts.loads.value:
        problem, known = f"{facts.title} does not load this variant", ", ".join(facts.loads.value)
        fix = f"use one of these, or engine {DEFAULT_ENGINE}"
        yield Finding(Code.ENGINE_LOADS_NOT, f"{at}.precision", problem, fix, str(model.precision), known)
    if model.spec.trust_remote_code.value and not facts.runs_repository_code.value:
        problem = f"{facts.title} does not run models with code in their own repository"
        fix = f"use another model, or engine {DEFAULT_ENGINE}"
        yield Finding(Code.ENGINE_LOADS_NOT, f"{at}.id", problem, fix, model.spec_id)
    if "/" in model.name and facts.slash_problem.value is not None:
        fix = "use a name without a slash"
        yield Finding(Code.ENGINE_NAME, f"{at}.name", facts.slash_problem.value, fix, model.name)


def untested(_plan: Plan, model: ModelPlan, at: str) -> Iterator[Finding]:
    """A warning for an engine that no test has run."""
    problem = engine_facts(model.engine).unproven
    if problem is not None:
        fix = "start it and load-test before you rely on it, see docs/engines.md"
        yield warning(Code.ENGINE_NOT_PROVEN, f"{at}.engine", problem, fix, str(model.engine))


def priorities_used(plan: Plan, model: ModelPlan, at: str) -> Iterator[Finding]:
    """An engine without priorities cannot serve urgent classes first."""
    facts = engine_facts(model.engine)
    priorities = {item.priority for item in plan.classes.values()}
    if facts.priority.value is None and len(priorities) > 1:
        order = "in the order of arrival" + (
            "" if facts.bounds_queue.value else " and has no bound on its queue"
        )
        problem = f"{facts.title} serves {order}: only the caps of the gateway still separate priorities"
        fix = f"lower gateway.longformCap and queueLength, or use engine {DEFAULT_ENGINE}"
        yield warning(Code.ENGINE_IN_ORDER, f"{at}.engine", problem, fix, str(model.engine))


def scaling(plan: Plan) -> Iterator[Finding]:
    """Autoscaling needs an engine whose metrics are known to exist."""
    models = [model for model in plan.models if engine_facts(model.engine).autoscaling_problem is not None]
    if plan.autoscaling.enabled and models:
        names, engines = (
            ", ".join(dict.fromkeys(texts))
            for texts in ((model.name for model in models), (str(model.engine) for model in models))
        )
        problem = f"{names} would be scaled by requests in flight, and {engines} may not report them"
        fix = "remove it or set false"
        yield Finding(Code.ENGINE_NOT_SCALED, "autoscaling.enabled", problem, fix, "true", "false")
