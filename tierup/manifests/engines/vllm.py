"""The container of vLLM; tests/engine checks every argument with the parser of the pinned version."""

import json
from collections.abc import Iterator

from tierup.catalog import Precision, WeightFormat
from tierup.catalog.engine import DEFAULT_ENGINE, engine_facts
from tierup.catalog.options import rendered_rank
from tierup.manifests.common import ENGINE_PORT
from tierup.manifests.engines.base import OPTIONS_FOLDER, SCRATCH, Serving, common_env, without_p2p
from tierup.manifests.model_cache import gguf_name
from tierup.manifests.weights import MOUNT, files_path, mounts
from tierup.plan.model import EngineSettings, ModelPlan, Plan
from tierup.stack.parse import KvCacheDtype

# A request with thousands of answers or prompts would occupy every slot.
MAX_ANSWERS = 8
CHAT_TEMPLATE = "chat-template.jinja"
MIN_QUEUE_LIMIT = 1024  # requests, running and waiting: the smallest limit of a replica

_QUANTIZATION = {
    Precision.FP8: "fp8",
    Precision.AWQ: "awq_marlin",
    Precision.GPTQ_INT4: "gptq_marlin",
    Precision.GPTQ_INT8: "gptq_marlin",
    Precision.INT8: "compressed-tensors",
}


def serving(plan: Plan, model: ModelPlan) -> Serving:
    """The container of one model; vLLM drains by itself after SIGTERM."""
    template = model.settings.chat_template
    return Serving(
        image=plan.images.serving(model.engine, model.variant.format),
        command=["vllm", "serve"],
        args=engine_args(plan, model),
        env=engine_env(model),
        mounts=mounts(model),
        prestop_seconds=model.prestop_seconds,
        options={} if template is None else {CHAT_TEMPLATE: template},
    )


def most_in_flight(plan: Plan, model: ModelPlan) -> int:
    """The limit of running and waiting requests of one replica: a safety net above the gateways' own limit.

    The last replica left gets all requests that the gateways admit for every replica. While a gateway is replaced
    there are more of them than the limit was divided by, at most twice as many. A request for several answers counts
    once per answer. The limit is a power of two, so a slightly longer queue does not restart every engine.
    """
    need = 2 * (model.slots * model.max_replicas + plan.gateway.queue_length)
    return max(MIN_QUEUE_LIMIT, 1 << (need - 1).bit_length())


def engine_args(plan: Plan, model: ModelPlan) -> list[str]:
    """vLLM's arguments; every option is one of the pinned version (`vllm serve --help=all`)."""
    args = {
        "--served-model-name": model.name,
        "--host": "0.0.0.0",
        "--port": str(ENGINE_PORT),
        "--dtype": "float16" if model.precision is Precision.FP16 else "auto",
        "--tensor-parallel-size": str(model.tensor),
        "--pipeline-parallel-size": str(model.pipeline),
        "--max-model-len": str(model.context),
        "--max-num-seqs": str(model.slots),
        "--max-num-queued-reqs": str(most_in_flight(plan, model)),
        "--gpu-memory-utilization": f"{model.gpu_memory_utilization:g}",
        "--scheduling-policy": "priority",
        "--shutdown-timeout": str(model.drain_seconds),
    }
    if model.kv_cache_dtype is not KvCacheDtype.AUTO:
        args["--kv-cache-dtype"] = str(model.kv_cache_dtype)
    path = files_path(model)
    if model.variant.format is WeightFormat.GGUF:
        args["--tokenizer"] = f"{path}/tokenizer"
        path = f"{path}/{gguf_name(model)}"
    elif (method := _quantization(model)) is not None:
        args["--quantization"] = method
    settings = model.settings
    if settings.kv_offload_gib is not None:
        args["--kv-offloading-size"] = f"{settings.kv_offload_gib:g}"
    if settings.reasoning_parser is not None:
        args["--reasoning-parser"] = settings.reasoning_parser
    if settings.chat_template is not None:
        args["--chat-template"] = f"{OPTIONS_FOLDER}/{CHAT_TEMPLATE}"
    flags = ["--disable-fastapi-docs", "--enable-request-id-headers"]
    if settings.tool_call_parser is not None:
        args["--tool-call-parser"] = settings.tool_call_parser
        flags.append("--enable-auto-tool-choice")
    if model.spec.trust_remote_code.value:
        flags.append("--trust-remote-code")
    if without_p2p(model):
        flags.append("--disable-custom-all-reduce")
    words = (part for pair in args.items() for part in pair)
    return [
        path,
        *words,
        *flags,
        *_metered(plan),
        *_task(model),
        *_guesses(settings),
        *_adapters(settings),
        *own_args(model),
    ]


def _quantization(model: ModelPlan) -> str | None:
    """The method of quantized weights; None without any, or if the repository's config.json names it."""
    if model.variant.quantize is not None:
        return model.variant.quantize
    return _QUANTIZATION.get(model.precision) if model.spec.config is None else None


def _metered(plan: Plan) -> Iterator[str]:
    """The option with which usage has the tokens of a prompt that were in the cache."""
    if plan.gateway.meter_tokens:
        yield "--enable-prompt-tokens-details"


def _task(model: ModelPlan) -> Iterator[str]:
    """The option of a model that writes no answers; without it, vLLM would serve a decoder as one that does."""
    if model.spec.serves != "generate":
        yield from ("--runner", "pooling")


def _guesses(settings: EngineSettings) -> Iterator[str]:
    """The option of speculative decoding."""
    if settings.speculative is not None:
        yield from ("--speculative-config", json.dumps(settings.speculative.config))


def _adapters(settings: EngineSettings) -> Iterator[str]:
    """The options of LoRA adapters. Those that have no place on the GPUs wait in the memory of the host."""
    if not settings.adapters:
        return
    rank = rendered_rank(engine_facts(DEFAULT_ENGINE).options, settings.adapter_rank)
    yield from ("--enable-lora", "--max-lora-rank", str(rank))
    yield from ("--max-loras", str(settings.adapters_at_once), "--max-cpu-loras", str(len(settings.adapters)))
    yield "--lora-modules"
    yield from (f"{item.name}={MOUNT}/{item.path}" for item in settings.adapters)


def own_args(model: ModelPlan) -> Iterator[str]:
    """The options of the stack file, with values that `tierup.rules.engine_args` has checked."""
    known = engine_facts(model.engine).options
    for name, value in model.settings.args.items():
        option = None if known is None else known.options.get(f"--{name}")
        several = isinstance(value, list) and (option is None or option.several)
        words = [
            word if isinstance(word, str) else json.dumps(word) for word in (value if several else [value])
        ]
        if isinstance(value, bool):
            yield f"--{name}" if value else f"--no-{name}"
        elif words and words[0].startswith("-"):  # as a word of its own it would be an option
            yield f"--{name}={words[0]}"
        else:
            yield from (f"--{name}", *words)


def engine_env(model: ModelPlan) -> dict[str, str]:
    """Settings that vLLM reads from the environment only."""
    return common_env(model) | {
        "VLLM_CACHE_ROOT": f"{SCRATCH}/vllm",
        "VLLM_NO_USAGE_STATS": "1",
        "VLLM_MAX_N_SEQUENCES": str(MAX_ANSWERS),
        "VLLM_MAX_COMPLETION_PROMPTS": str(MAX_ANSWERS),
        # By default the server exits after 600 s, but the pod's startup budget may be longer.
        "VLLM_ENGINE_READY_TIMEOUT_S": str(model.startup_seconds),
    }
