"""How a GPU's memory is divided, and how many sequences the KV cache holds."""

import math
from dataclasses import dataclass

from tierup.sizing.coefficients import Coefficients
from tierup.sizing.types import SizingInput

GIB = 2**30
GB_PER_GIB = GIB / 1e9
BLOCK = 16  # tokens of a block of vLLM's KV cache, which is allocated in whole blocks


@dataclass(frozen=True)
class Memory:
    """Memory of one GPU in GiB, and the size of a replica's KV cache in tokens."""

    visible: float
    budget: float
    weights: float
    reserve: float
    cuda_graphs: float
    adapters: float
    kv: float
    kv_tokens: int
    max_concurrent_sequences: int
    max_context: int

    @property
    def overhead(self) -> float:
        """GiB that the engine needs besides weights and KV cache: its peak while computing, CUDA graphs, adapters."""
        return self.reserve + self.cuda_graphs + self.adapters

    @property
    def fits(self) -> bool:
        return self.max_concurrent_sequences >= 1


def version(text: str) -> tuple[int, int]:
    """Major and minor number of an engine version; text that is no version counts as current."""
    parts = text.lstrip("v").split(".")
    try:
        return int(parts[0]), int(parts[1])
    except (ValueError, IndexError):
        return (99, 0)


def memory(inputs: SizingInput, coefficients: Coefficients) -> Memory:
    """The memory of one GPU of a replica, and what its KV cache holds.

    budget = gpu_memory_utilization x what a CUDA process sees; KV = budget - weights - activation and
    sampler peak - CUDA graphs - LoRA adapters. With pipeline parallelism the fullest stage counts: it holds an equal
    part of the layers, and the embedding or the head.
    """
    model, stages = inputs.model, inputs.pipeline
    visible = inputs.gpu.memory_mib.value / 1024 * coefficients["memory.visible"]
    total = model.weight_bytes(inputs.precision)
    ends = total - model.linear / (model.linear + 2 * model.head) * total if stages > 1 else 0.0
    weights = ((total - ends) / stages + ends / 2) / inputs.tensor if stages > 1 else total / inputs.tensor
    v0 = version(inputs.engine_version) < (0, 8)
    sampler = inputs.slots * model.vocab * 4 * coefficients["memory.sampler_v0" if v0 else "memory.sampler"]
    layer = inputs.batched_tokens * (3 * model.intermediate / inputs.tensor + 4 * model.hidden) * 2
    reserve = max(sampler, layer) / GIB + coefficients["memory.non_torch_v0" if v0 else "memory.non_torch"]
    deducted = not inputs.enforce_eager and version(inputs.engine_version) >= (0, 19)
    graphs = (
        coefficients["memory.cuda_graph_per_layer"] * math.ceil(model.layers / stages) if deducted else 0.0
    )
    adapters = inputs.adapters * model.adapter_bytes(inputs.adapter_rank, inputs.tensor) / stages / GIB
    kv = inputs.gpu_memory_utilization * visible - weights / GIB - reserve - graphs - adapters
    per_token = model.kv_bytes_per_token(inputs.kv_dtype) / min(inputs.tensor, model.kv_heads) / stages
    tokens = max(0, int(kv * GIB / (per_token * BLOCK))) * BLOCK
    context = inputs.context if inputs.context is not None else inputs.prompt + inputs.answer
    blocks = math.ceil(context / BLOCK) * BLOCK
    return Memory(
        visible=visible,
        budget=inputs.gpu_memory_utilization * visible,
        weights=weights / GIB,
        reserve=reserve,
        cuda_graphs=graphs,
        adapters=adapters,
        kv=max(0.0, kv),
        kv_tokens=tokens,
        max_concurrent_sequences=tokens // blocks,
        max_context=min(tokens, model.max_context),
    )
