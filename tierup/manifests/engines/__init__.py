"""Decides what differs between the engines: how each serves a model, its metrics, the sign of a priority."""

from tierup.manifests.engines import tensorrt_llm, vllm
from tierup.manifests.engines.base import Serving
from tierup.plan.model import ModelPlan, Plan
from tierup.stack.parse import Engine
from tierup.stack.sections import NEUTRAL_PRIORITY


def serving(plan: Plan, model: ModelPlan) -> Serving:
    """How the model's engine serves it."""
    if model.engine is Engine.TENSORRT_LLM:
        return tensorrt_llm.serving(plan, model)
    return vllm.serving(plan, model)


def metrics_path(engine: Engine) -> str:
    """Where the engine tells its metrics to Prometheus."""
    return "/metrics" if engine is Engine.VLLM else tensorrt_llm.METRICS_PATH


def engine_priority(engine: Engine, priority: int) -> int | None:
    """A class's priority (0..100, higher goes first) as the engine takes it in a request; None: it takes none.

    vLLM serves the lowest value first and takes a request without one for 0, so that chat is below it and long jobs
    are above. TensorRT-LLM's server has no such field, and refuses a request with a field that it does not know.
    """
    return NEUTRAL_PRIORITY - priority if engine is Engine.VLLM else None
