"""Decides what of a GPU's memory is left for the KV cache, and how many sequences that holds."""

import math
from dataclasses import dataclass

from tierup.sizing.coefficients import Coefficients
from tierup.sizing.types import SizingInput

GIB = 2**30
GB_PER_GIB = GIB / 1e9
BLOCK = 16  # vLLM's block size: the KV cache is handed out in blocks of so many tokens


@dataclass(frozen=True)
class Memory:
    """One GPU's memory in GiB, and what a replica's KV cache holds in tokens."""

    visible: float
    budget: float
    weights: float
    reserve: float
    cuda_graphs: float
    kv: float
    kv_tokens: int
    max_concurrent_sequences: int
    max_context: int

    @property
    def beside(self) -> float:
        """What the engine needs beside weights and KV cache: its peak while computing, and CUDA graphs."""
        return self.reserve + self.cuda_graphs

    @property
    def fits(self) -> bool:
        return self.max_concurrent_sequences >= 1


def version(text: str) -> tuple[int, int]:
    """Major and minor of an engine version; what cannot be read counts as current."""
    parts = text.lstrip("v").split(".")
    try:
        return int(parts[0]), int(parts[1])
    except (ValueError, IndexError):
        return (99, 0)


def memory(ask: SizingInput, k: Coefficients) -> Memory:
    """What one replica has for its KV cache.

    budget = gpu_memory_utilization x what a CUDA process sees; KV = budget - weights - activation and
    sampler peak - CUDA graphs. With pipeline parallelism the fullest stage decides: it holds an even part
    of the layers and the embedding or the head.
    """
    model, stages = ask.model, ask.pipeline
    visible = ask.gpu.memory_mib.value / 1024 * k["memory.visible"]
    total = model.weight_bytes(ask.precision)
    ends = total - model.linear / (model.linear + 2 * model.head) * total if stages > 1 else 0.0
    weights = ((total - ends) / stages + ends / 2) / ask.tensor if stages > 1 else total / ask.tensor
    v0 = version(ask.engine_version) < (0, 8)
    sampler = ask.slots * model.vocab * 4 * k["memory.sampler_v0" if v0 else "memory.sampler"]
    layer = ask.batched_tokens * (3 * model.intermediate / ask.tensor + 4 * model.hidden) * 2
    reserve = max(sampler, layer) / GIB + k["memory.non_torch_v0" if v0 else "memory.non_torch"]
    deducted = not ask.enforce_eager and version(ask.engine_version) >= (0, 19)
    graphs = k["memory.cuda_graph_per_layer"] * math.ceil(model.layers / stages) if deducted else 0.0
    kv = ask.gpu_memory_utilization * visible - weights / GIB - reserve - graphs
    per_token = model.kv_bytes_per_token(ask.kv_dtype) / min(ask.tensor, model.kv_heads) / stages
    tokens = max(0, int(kv * GIB / (per_token * BLOCK))) * BLOCK
    context = ask.context if ask.context is not None else ask.prompt + ask.answer
    blocks = math.ceil(context / BLOCK) * BLOCK
    return Memory(
        visible=visible,
        budget=ask.gpu_memory_utilization * visible,
        weights=weights / GIB,
        reserve=reserve,
        cuda_graphs=graphs,
        kv=max(0.0, kv),
        kv_tokens=tokens,
        max_concurrent_sequences=tokens // blocks,
        max_context=min(tokens, model.max_context),
    )
