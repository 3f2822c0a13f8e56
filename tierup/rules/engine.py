"""Decides what the engines cannot do with a model, and what is told of the one that could not be run here."""

from collections.abc import Iterator

from tierup.catalog import Precision, WeightFormat
from tierup.findings.model import Code, Finding, warning
from tierup.plan.model import ModelPlan, Plan
from tierup.stack.sections import Engine

# What TensorRT-LLM 1.2.1 loads of the catalogue's variants: docs/engines.md says why not the others.
TENSORRT_LLM_LOADS = (Precision.BF16, Precision.FP16)


def image_rules(plan: Plan, model: ModelPlan, at: str) -> Iterator[Finding]:
    """The model against vLLM's image."""
    if model.engine is not Engine.VLLM:
        return
    if model.variant.format is WeightFormat.GGUF:
        if plan.images.gguf is None:
            problem = (
                "GGUF left vLLM's core: it needs an image with vllm-gguf-plugin, and no public image has it"
            )
            fix = "build images/vllm-gguf and name it in images.gguf, or use awq or gptq-int8"
            yield Finding(Code.GGUF_IMAGE, f"{at}.precision", problem, fix, str(model.precision))
        return
    last, version = model.spec.last_engine_version.value, _numbers(plan.images.vllm_tag)
    if last is not None and version > _numbers(last):
        problem = f"vLLM serves {model.spec_id} up to {last} only"
        fix = f"use another model, or images.vllm: vllm/vllm-openai:v{last}"
        yield Finding(
            Code.ENGINE_TOO_NEW, f"{at}.id", problem, fix, f"images.vllm {plan.images.vllm}", f"up to v{last}"
        )


def _numbers(text: str) -> tuple[int, ...]:
    """The version that a tag spells; empty where it spells none."""
    plain = text.removeprefix("v").partition("-")[0]
    return tuple(int(part) for part in plain.split(".") if part.isdigit())


def tensorrt_llm_rules(plan: Plan, model: ModelPlan, at: str) -> Iterator[Finding]:
    """What TensorRT-LLM does not load, and that none of it was seen to work."""
    if model.engine is not Engine.TENSORRT_LLM:
        return
    if model.precision not in TENSORRT_LLM_LOADS:
        problem, known = "TensorRT-LLM does not load this variant", ", ".join(TENSORRT_LLM_LOADS)
        fix = "use one of these, or engine vllm"
        yield Finding(Code.ENGINE_LOADS_NOT, f"{at}.precision", problem, fix, str(model.precision), known)
    if model.spec.trust_remote_code.value:
        problem = "TensorRT-LLM runs no model that is code in its own repository"
        fix = "use another model, or engine vllm"
        yield Finding(Code.ENGINE_LOADS_NOT, f"{at}.id", problem, fix, model.spec_id)
    if "/" in model.name:
        problem = "TensorRT-LLM would serve it under what follows the last slash"
        fix = "use a name without a slash"
        yield Finding(Code.ENGINE_NAME, f"{at}.name", problem, fix, model.name)
    problem = (
        "no test here could run TensorRT-LLM; of its ranges, only the time of a step was fitted to it (on H100), "
        "the rest is vLLM's"
    )
    fix = "start it and load-test before you rely on it, see docs/engines.md"
    yield warning(Code.ENGINE_NOT_PROVEN, f"{at}.engine", problem, fix, str(model.engine))


def in_order(plan: Plan, model: ModelPlan, at: str) -> Iterator[Finding]:
    """Classes of unlike priority before an engine that knows none."""
    priorities = {item.priority for item in plan.classes.values()}
    if model.engine is Engine.TENSORRT_LLM and len(priorities) > 1:
        problem = (
            "TensorRT-LLM serves in the order of arrival and bounds no queue: of priorities only the gateway's caps "
            "are left"
        )
        fix = "lower gateway.longformCap and queueLength, or use engine vllm"
        yield warning(Code.ENGINE_IN_ORDER, f"{at}.engine", problem, fix, str(model.engine))


def scaling(plan: Plan) -> Iterator[Finding]:
    """An autoscaler without a metric that is known to be there."""
    names = [model.name for model in plan.models if model.engine is Engine.TENSORRT_LLM]
    if plan.autoscaling.enabled and names:
        problem = (
            f"{', '.join(names)} would be scaled by requests in flight, and tensorrt-llm may not tell them"
        )
        fix = "leave it out or say false"
        yield Finding(Code.ENGINE_NOT_SCALED, "autoscaling.enabled", problem, fix, "true", "false")
