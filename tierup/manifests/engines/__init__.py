"""How each engine serves a model: one module per engine, found by the engine's name."""

from collections.abc import Callable
from importlib import import_module

from tierup.catalog.engine import engine_facts
from tierup.manifests.engines.base import Serving
from tierup.plan.model import ModelPlan, Plan
from tierup.stack.sections import NEUTRAL_PRIORITY


def serving(plan: Plan, model: ModelPlan) -> Serving:
    """How the model's engine serves it: what `serving` of the engine's own module says."""
    module = import_module(f"{__name__}.{model.engine.replace('-', '_')}")
    of_engine: Callable[[Plan, ModelPlan], Serving] = module.serving
    return of_engine(plan, model)


def engine_priority(engine: str, priority: int) -> int | None:
    """A class's priority (0..100, higher goes first) as the engine takes it in a request; None: it takes none.

    An engine takes a request without a priority for 0, so that classes above NEUTRAL_PRIORITY go before it and
    classes below it go after. An engine without priorities may refuse a request with a field that it does not know.
    """
    order = engine_facts(engine).priority.value
    if order is None:
        return None
    urgency = priority - NEUTRAL_PRIORITY
    return urgency if order == "highest-first" else -urgency
