"""The container of each engine: one module per engine, found by the engine's name."""

from collections.abc import Callable
from importlib import import_module

from tierup.catalog.engine import engine_facts
from tierup.manifests.engines.base import Serving
from tierup.plan.model import ModelPlan, Plan
from tierup.stack.sections import NEUTRAL_PRIORITY


def serving(plan: Plan, model: ModelPlan) -> Serving:
    """The settings of the model's container, from `serving` in the engine's module."""
    module = import_module(f"{__name__}.{model.engine.replace('-', '_')}")
    of_engine: Callable[[Plan, ModelPlan], Serving] = module.serving
    return of_engine(plan, model)


def engine_priority(engine: str, priority: int) -> int | None:
    """A class's priority (0..100, higher goes first) as the value in a request; None: the engine has no priorities.

    A request without a priority counts as 0, so classes above NEUTRAL_PRIORITY go before it and classes below it go
    after. An engine without priorities may refuse a request with the unknown field.
    """
    order = engine_facts(engine).priority.value
    if order is None:
        return None
    urgency = priority - NEUTRAL_PRIORITY
    return urgency if order == "highest-first" else -urgency
