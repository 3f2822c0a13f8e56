"""A sizing, or the servers recommended for a load, as one JSON object; docs/size-json.md documents the keys."""

import json
from collections.abc import Iterable

from tierup.compare.recommend import Option, Target
from tierup.sizing import Range, Sizing, SizingInput
from tierup.sizing.types import rounded

VERSION = 1  # of the shape: keys may be added, none is renamed or changes its meaning


def render(inputs: SizingInput, sizing: Sizing) -> str:
    """One sizing, with the inputs it is for."""
    return _text({"inputs": _inputs(inputs), **_figures(sizing)})


def render_options(inputs: SizingInput, target: Target, options: Iterable[Option]) -> str:
    """The recommended servers, cheapest first; each with the stack file that the plan accepts."""
    asked = _inputs(inputs)
    for decided in (
        "gpu",
        "precision",
        "tensor",
        "pipeline",
        "replicas",
        "context",
        "maxNumSeqs",
        "maxNumBatchedTokens",
    ):
        asked.pop(decided)  # by the options
    tree = {
        "inputs": asked,
        "target": {"ttftMs": target.ttft_ms, "tpotMs": target.tpot_ms},
        "options": [
            {
                "server": option.server,
                "servers": option.servers,
                "capexUsd": option.capex_usd,
                "reason": option.reason,
                "stack": {f"tierup:{section}": value for section, value in option.stack.items()},
                "secrets": list(option.secrets),
                "inputs": _inputs(option.inputs),
                "sizing": _figures(option.sizing),
            }
            for option in options
        ],
    }
    return _text(tree)


def _text(tree: dict[str, object]) -> str:
    return json.dumps({"version": VERSION, **tree}, indent=2) + "\n"


def _inputs(inputs: SizingInput) -> dict[str, object]:
    """What was sized; slots and tokens of a step are those of the engine where none were given."""
    return {
        "model": inputs.model.name,
        "gpu": inputs.gpu_id,
        "precision": str(inputs.precision),
        "tensor": inputs.tensor,
        "pipeline": inputs.pipeline,
        "replicas": inputs.replicas,
        "promptTokens": inputs.prompt,
        "answerTokens": inputs.answer,
        "concurrency": 1 if inputs.concurrency is None and inputs.rate is None else inputs.concurrency,
        "requestsPerSecond": inputs.rate,
        "burst": inputs.burst,
        "prefixHit": inputs.prefix_hit,
        "context": inputs.context if inputs.context is not None else inputs.prompt + inputs.answer,
        "gpuMemoryUtilization": inputs.gpu_memory_utilization,
        "maxNumSeqs": inputs.slots,
        "maxNumBatchedTokens": inputs.batched_tokens,
        "kvCacheDtype": inputs.kv_dtype,
        "enforceEager": inputs.enforce_eager,
        "engine": inputs.engine,
        "engineVersion": inputs.engine_version,
    }


def _figures(sizing: Sizing) -> dict[str, object]:
    return {
        "fits": sizing.fits,
        "weightsGibPerGpu": rounded(sizing.weights_gib_per_gpu),
        "kvTokens": sizing.kv_tokens,
        "kvTokensLow": sizing.kv_tokens_low,
        "kvTokensHigh": sizing.kv_tokens_high,
        "fullLengthSequences": sizing.max_concurrent_sequences,
        "largestContext": sizing.max_context,
        "ttftMs": _span(sizing.ttft_ms),
        "tpotMs": _span(sizing.tpot_ms),
        "e2eMs": _span(sizing.e2e_ms),
        "outputTokensPerSecond": _span(sizing.output_tok_s),
        "requestsPerSecond": _span(sizing.req_s),
        "bottleneck": str(sizing.bottleneck),
        "basis": list(sizing.basis),
        "extrapolated": sizing.extrapolated,
        "notes": list(sizing.notes),
    }


def _span(figure: Range | None) -> dict[str, float] | None:
    return None if figure is None else figure.rounded()
