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
    layer = inputs.batched_tokens * model.activation_width(inputs.tensor) * 2
    if model.tower is not None:
        layer = max(layer, model.tower.peak)
    reserve = max(sampler, layer) / GIB + coefficients["memory.non_torch_v0" if v0 else "memory.non_torch"]
    deducted = not inputs.enforce_eager and version(inputs.engine_version) >= (0, 19)
    graphs = (
        coefficients["memory.cuda_graph_per_layer"] * math.ceil(model.layers / stages) if deducted else 0.0
    )
    adapters = inputs.adapters * model.adapter_bytes(inputs.adapter_rank, inputs.tensor) / stages / GIB
    kv = inputs.gpu_memory_utilization * visible - weights / GIB - reserve - graphs - adapters
    context = inputs.context if inputs.context is not None else inputs.prompt + inputs.answer
    room = max(0.0, kv) * GIB
    return Memory(
        visible=visible,
        budget=inputs.gpu_memory_utilization * visible,
        weights=weights / GIB,
        reserve=reserve,
        cuda_graphs=graphs,
        adapters=adapters,
        kv=max(0.0, kv),
        kv_tokens=_tokens(inputs, room, context),
        max_concurrent_sequences=int(sequences(inputs, room, context)),
        max_context=_longest(inputs, room),
    )


def sequence_bytes(inputs: SizingInput, tokens: float) -> float:
    """Bytes of one GPU that a sequence of `tokens` takes in the KV cache, with the state of layers without one."""
    model = inputs.model
    held = model.kv_bytes(tokens, inputs.kv_dtype, inputs.tensor, inputs.batched_tokens)
    return held / inputs.pipeline


def sequences(inputs: SizingInput, room: float, tokens: float) -> float:
    """Sequences of `tokens` in `room` bytes of one GPU's KV cache, which is allocated in whole blocks."""
    blocks = math.ceil(tokens / BLOCK) * BLOCK
    if inputs.model.uniform:
        return _uniform_tokens(inputs, room) // blocks
    return room / sequence_bytes(inputs, blocks)


def _uniform_tokens(inputs: SizingInput, room: float) -> int:
    """Tokens in `room` bytes where each takes the same space: the engine counts every layer without its window."""
    per_token = inputs.model.kv_bytes_per_token(inputs.kv_dtype, inputs.tensor)
    return int(room / (per_token / inputs.pipeline * BLOCK)) * BLOCK


def _tokens(inputs: SizingInput, room: float, context: int) -> int:
    """KV tokens as the engine logs them: since 0.21 those of sequences of full length, within their windows."""
    if inputs.model.uniform or version(inputs.engine_version) < (0, 21):
        return _uniform_tokens(inputs, room)
    return int(sequences(inputs, room, context) * context)


def _longest(inputs: SizingInput, room: float) -> int:
    """The longest context of one sequence in `room` bytes."""
    most = inputs.model.max_context
    if inputs.model.uniform:
        return min(_uniform_tokens(inputs, room), most)
    low, high = 0, most // BLOCK
    while low < high:
        middle = (low + high + 1) // 2
        if sequence_bytes(inputs, middle * BLOCK) <= room:
            low = middle
        else:
            high = middle - 1
    return most if low == most // BLOCK else low * BLOCK
