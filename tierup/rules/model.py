"""Checks one model against its GPUs: parallelism, memory, context, precision and access."""

from collections.abc import Iterator

from tierup.catalog import Architecture, Precision
from tierup.catalog.engine import engine_facts
from tierup.findings.model import Code, Finding, Severity, warning
from tierup.plan.capacity import sizing_input
from tierup.plan.model import ModelPlan, Plan
from tierup.plan.parallelism import GROUP, divides, splits_group, tensor_sizes
from tierup.rules.secrets import needs_token
from tierup.sizing.coefficients import load_calibration
from tierup.sizing.memory import Memory, memory
from tierup.stack.parse import HUB_TOKEN, set_secret
from tierup.stack.sections import CacheKind, KvCacheDtype


def gpu_rules(plan: Plan, model: ModelPlan, at: str) -> Iterator[Finding]:
    """The GPUs must support the parallelism and the precision."""
    spec, per_node, tensor, path = (
        model.spec,
        plan.nodes.gpus_per_server,
        model.tensor,
        f"{at}.parallelism.tensor",
    )
    good = tensor_sizes(spec, model.precision, per_node)
    allowed, label = ", ".join(map(str, good)), plan.nodes.gpu.product_label.value
    if not divides(spec, tensor):
        heads = f"{spec.q_heads.value} attention heads and {spec.kv_heads.value} KV heads"
        problem = f"cannot split the {heads} of {model.spec_id} evenly"
        yield Finding(Code.TP_HEADS, path, problem, "use one of these sizes", str(tensor), allowed)
    elif splits_group(spec, model.precision, tensor):
        problem = (
            f"splits a group of {GROUP[model.precision]} weights that share one scale in {model.precision}"
        )
        yield Finding(
            Code.TP_GROUPS,
            path,
            problem,
            "use one of these sizes, or another precision",
            str(tensor),
            allowed,
        )
    if model.gpus > per_node:
        problem = f"a replica stays inside one server, and {plan.nodes.server_id} has {per_node} GPUs"
        got = f"tensor {tensor} x pipeline {model.pipeline} = {model.gpus}"
        fast = any(nic.kind.value == "infiniband" for nic in plan.nodes.server.nics)
        between = "" if fast else "; these servers have no fast link between them either"
        yield Finding(
            Code.TP_EXCEEDS_NODE,
            f"{at}.parallelism",
            problem,
            f"use fewer, or a server with more GPUs{between}",
            got,
            f"at most {per_node}",
        )
    elif tensor > 1 and not model.p2p:
        problem = (
            f"{label} cards cannot read each other's memory: every layer exchanges data through the host"
        )
        yield warning(
            Code.TP_WITHOUT_P2P, path, problem, "use replicas where the model fits one card", str(tensor)
        )
    if model.precision is Precision.FP8 and plan.nodes.gpu.architecture.value is Architecture.AMPERE:
        problem = f"{label} has no FP8 units: weights are stored in FP8, computed in 16 bit"
        yield warning(
            Code.FP8_WEIGHT_ONLY, f"{at}.precision", problem, "use awq or gptq-int4 for more speed", "fp8"
        )


def memory_rules(plan: Plan, model: ModelPlan, at: str) -> Iterator[Finding]:
    """A GPU's memory must hold the weights, the engine's own memory and one conversation of full length."""
    room = memory(sizing_input(plan, model), load_calibration().values)
    share = f"{model.gpu_memory_utilization:.0%} of {plan.nodes.gpu.product_label.value}"
    got, allowed = (
        f"{room.weights:.1f} GiB",
        f"less than {room.budget - room.overhead:.1f} GiB, {share}",
    )
    if room.kv <= 0:
        problem = (
            f"the weights of {model.precision} do not fit a GPU beside {room.overhead:.1f} GiB for the engine"
        )
        fix = "use a smaller precision, or more GPUs per replica"
        yield Finding(Code.WEIGHTS_DO_NOT_FIT, at, problem, fix, got, allowed)
    elif room.kv_tokens_low < model.context:
        yield _full_length(model, room, at, share)
    fp8 = engine_facts(model.engine).fp8_kv_cache if model.kv_cache_dtype is KvCacheDtype.FP8 else None
    if fp8 is not None and plan.nodes.gpu.architecture.value not in fp8.keeps_on:
        label = plan.nodes.gpu.product_label.value
        problem = f"turns off {fp8.attention} on {label}: {fp8.otherwise} is used instead"
        fix = "measure both; the cache holds twice the tokens, an answer may be slower"
        yield warning(Code.KV_FP8_BACKEND, f"{at}.kvCacheDtype", problem, fix, "fp8")


def _full_length(model: ModelPlan, room: Memory, at: str, share: str) -> Finding:
    """An error if one conversation of full length does not fit; a warning if it may not, near the edge."""
    fix = "shorten it, use a smaller precision, kvCacheDtype fp8, or more GPUs per replica"
    beside = f"beside {room.weights:.1f} GiB of weights, {share}"
    if room.kv_tokens < model.context:
        problem = "one conversation of full length does not fit a GPU beside the weights"
        allowed, severity = f"at most {room.kv_tokens}: {room.kv:.1f} GiB {beside}", Severity.ERROR
    else:
        problem = (
            f"one conversation of full length may not fit: {room.kv_tokens_low} to {room.kv_tokens_high} tokens, and "
            "below it the engine does not start"
        )
        allowed = (
            f"at most {room.kv_tokens_low} is safe: {room.kv_low:.1f} to {room.kv_high:.1f} GiB {beside}"
        )
        severity = Severity.WARNING
    return Finding(
        Code.CONTEXT_DOES_NOT_FIT, f"{at}.context", problem, fix, f"{model.context}", allowed, severity
    )


def context_rules(_plan: Plan, model: ModelPlan, at: str) -> Iterator[Finding]:
    """The context must not be longer than the one that the model was trained for."""
    longest = model.spec.max_context.value
    if model.context > longest:
        problem = f"is longer than {model.spec_id} was trained for"
        yield Finding(
            Code.CONTEXT_TOO_LONG,
            f"{at}.context",
            problem,
            f"use {longest} or less",
            f"{model.context}",
            f"at most {longest}",
        )


def class_rules(plan: Plan, model: ModelPlan, at: str) -> Iterator[Finding]:
    """The context must hold a request of every class."""
    for name, item in plan.classes.items():
        need = item.prompt_tokens + item.answer_tokens
        if need > model.context:
            problem = f"is shorter than a request of class {name}, which the engine would refuse"
            fix = f"use {need} or more, or smaller requests"
            yield Finding(
                Code.CONTEXT_TOO_SHORT, f"{at}.context", problem, fix, f"{model.context}", f"at least {need}"
            )


def own_rules(plan: Plan, model: ModelPlan, at: str) -> Iterator[Finding]:
    """Checks that need only the model's own entry: access to its files, and the kind of its cache."""
    if needs_token(model) and HUB_TOKEN not in plan.secrets:
        problem = f"{model.variant.repo} needs the token of an account that accepted its licence"
        yield Finding(
            Code.GATED_MODEL,
            f"{at}.id",
            problem,
            f"run `{set_secret(HUB_TOKEN, plan.stack)}`",
            model.spec_id,
        )
    if model.cache_kind in (CacheKind.REPLICA, CacheKind.IMAGE):
        path, allowed = f"{at}.cache.kind", "shared, node"
        problem, fix = "tierup does not support this kind of cache yet", "use shared or node"
        if model.cache_kind is CacheKind.IMAGE:
            problem, fix = (
                "an image is no cache: nothing is fetched",
                "use weights: {from: image, image: NAME}",
            )
        yield Finding(Code.CACHE_KIND, path, problem, fix, str(model.cache_kind), allowed)
