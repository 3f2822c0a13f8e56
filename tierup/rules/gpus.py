"""Checks each model against what its GPUs can do, as `tierup.catalog.capability` says."""

from collections.abc import Iterator

from tierup.catalog import Precision
from tierup.catalog.capability import Computes, numbers
from tierup.catalog.engine import engine_facts
from tierup.findings.model import Code, Finding, warning
from tierup.plan.model import ModelPlan, Plan
from tierup.plan.sharing import usual_utilization
from tierup.sizing.types import default_utilization
from tierup.stack.sections import KvCacheDtype

UNUSED_SHARE = 0.2  # of a GPU's memory, below the default: less is a margin that someone wants
_UNITS = {Precision.FP8: "FP8", Precision.MXFP4: "FP4", Precision.NVFP4: "FP4"}


def vendor(plan: Plan) -> Iterator[Finding]:
    """The pods ask for NVIDIA's GPUs, and their images are built for them."""
    gpu = plan.nodes.gpu
    if gpu.abilities.vendor != "nvidia":
        problem = f"{plan.nodes.server.gpu} is not NVIDIA's: pods, images and metrics of a plan are"
        fix = f"use a server with NVIDIA's GPUs; `tierup size --gpu {plan.nodes.server.gpu}` sizes a model on this one"
        yield Finding(Code.GPU_LACKS, "nodes.server", problem, fix, plan.nodes.server_id)


def precision(plan: Plan, model: ModelPlan, at: str) -> Iterator[Finding]:
    """The GPUs must load the weights; if they compute in 16 bits what is meant to be faster, that is a warning."""
    gpu, wanted = plan.nodes.gpu, model.precision
    abilities, label = gpu.abilities, gpu.product_label.value
    if abilities.vendor != "nvidia":
        return  # `vendor` reports the server
    if abilities.computes(wanted) is Computes.NOT:
        able = (abilities.as_stored | abilities.in_16_bits) & set(model.spec.variants)
        problem = (
            f"{label} (compute capability {gpu.compute_capability.value}) cannot serve weights in {wanted}"
        )
        fix = "use one of these" if able else "use another model or other GPUs"
        allowed = ", ".join(item for item in Precision if item in able) or "none of this model"
        yield Finding(Code.GPU_LACKS, f"{at}.precision", problem, fix, str(wanted), allowed)
    elif abilities.saves_memory_only(wanted):
        stored = str(wanted).upper()
        problem = f"{label} has no {_UNITS[wanted]} units: weights are stored in {stored}, computed in 16 bit"
        fix = "use awq or gptq-int4 for more speed"
        yield warning(Code.FP8_WEIGHT_ONLY, f"{at}.precision", problem, fix, str(wanted))


def image(plan: Plan, model: ModelPlan, at: str) -> Iterator[Finding]:
    """The engine's own image must have kernels for the GPUs; an image of the user's may have more."""
    facts, gpu = engine_facts(model.engine), plan.nodes.gpu
    used, least = plan.images.serving(model.engine, model.variant.format), facts.least_capability
    if least is None or gpu.abilities.vendor != "nvidia" or not used.endswith(facts.default_image):
        return
    if numbers(gpu.compute_capability.value) < numbers(least.value):
        problem = f"{facts.default_image} has no kernels for {gpu.product_label.value}"
        key = f"images.{facts.image.key}"
        fix = f"build one for compute capability {gpu.compute_capability.value} and name it in {key}, or use other GPUs"
        allowed = f"compute capability {least.value} or more"
        yield Finding(Code.GPU_LACKS, f"{at}.engine", problem, fix, gpu.compute_capability.value, allowed)


def memory_share(plan: Plan, model: ModelPlan, at: str) -> Iterator[Finding]:
    """A GPU belongs to one pod, so what the engine does not take of its memory is of no use to others."""
    gpu, share = plan.nodes.gpu, model.gpu_memory_utilization
    usual = usual_utilization(plan.nodes)
    if gpu.abilities.unified_memory or share >= usual * (1 - UNUSED_SHARE / default_utilization(gpu)):
        return
    lost = (usual - share) * gpu.memory_mib.value / 1024
    problem = f"{lost:.0f} GiB of each {gpu.product_label.value} are never used: a GPU belongs to one pod"
    fix = f"leave it out for {usual:g}, which gives the KV cache more room, or use smaller GPUs"
    yield warning(Code.UNUSED_MEMORY, f"{at}.gpuMemoryUtilization", problem, fix, f"{share:g}")


def kv_cache(plan: Plan, model: ModelPlan, at: str) -> Iterator[Finding]:
    """An FP8 KV cache needs a kernel that reads it, which may not be the usual one."""
    fp8 = engine_facts(model.engine).fp8_kv_cache if model.kv_cache_dtype is KvCacheDtype.FP8 else None
    gpu, label = plan.nodes.gpu, plan.nodes.gpu.product_label.value
    if fp8 is None or gpu.abilities.fp8_kv or gpu.abilities.vendor != "nvidia":
        return
    path = f"{at}.kvCacheDtype"
    if gpu.abilities.fp8_kv is None:
        problem = f"no attention kernel reads an FP8 KV cache on {label}"
        yield Finding(Code.GPU_LACKS, path, problem, "leave it out", "fp8", "auto")
    else:
        problem = f"turns off {fp8.attention} on {label}: {fp8.otherwise} is used instead"
        fix = "measure both; the cache holds twice the tokens, an answer may be slower"
        yield warning(Code.KV_FP8_BACKEND, path, problem, fix, "fp8")
