"""How a GPU's memory is divided, and how many sequences the KV cache holds."""

import math
from dataclasses import dataclass

from tierup.sizing.coefficients import Coefficients
from tierup.sizing.types import SizingInput, version

GIB = 2**30
GB_PER_GIB = GIB / 1e9
BLOCK = 16  # tokens of a block of vLLM's KV cache, which is allocated in whole blocks

# vLLM's versions, as far as its accounting of memory depends on them.
_V1 = (0, 8)  # the engine V1 is the default
_FUSED_SAMPLER = (0, 17)  # no sorted copies of the logits any more: Triton's, later FlashInfer's kernels
_CONSUMED = (0, 20)  # what the process took outside of PyTorch is read from the driver
_GRAPHS_COUNT = (0, 21)  # CUDA graphs are taken from the KV cache, as the engine logs


@dataclass(frozen=True)
class Memory:
    """Memory of one GPU in GiB, and the size of a replica's KV cache in tokens; of nine in ten start-up logs the KV
    cache lies between its low and its high end.
    """

    visible: float
    budget: float
    weights: float
    reserve: float
    cuda_graphs: float
    adapters: float
    kv: float
    kv_low: float
    kv_high: float
    kv_tokens: int
    kv_tokens_low: int
    kv_tokens_high: int
    max_concurrent_sequences: int
    max_context: int

    @property
    def overhead(self) -> float:
        """GiB that the engine needs besides weights and KV cache: its peak while computing, CUDA graphs, adapters."""
        return self.reserve + self.cuda_graphs + self.adapters

    @property
    def fits(self) -> bool:
        return self.max_concurrent_sequences >= 1


def memory(inputs: SizingInput, coefficients: Coefficients) -> Memory:
    """The memory of one GPU of a replica, and what its KV cache holds.

    budget = gpu_memory_utilization x what a CUDA process sees; KV = budget - weights - activation and
    sampler peak - CUDA graphs - LoRA adapters. With pipeline parallelism the fullest stage counts: it holds an equal
    part of the layers, and the embedding or the head.
    """
    model, stages = inputs.model, inputs.pipeline
    visible = inputs.gpu.memory_mib.value / 1024 - coefficients["memory.driver"]
    total = model.weight_bytes(inputs.precision)
    ends = total - model.linear / (model.linear + 2 * model.head) * total if stages > 1 else 0.0
    weights = ((total - ends) / stages + ends / 2) / inputs.tensor if stages > 1 else total / inputs.tensor
    reserve = _peak(inputs, coefficients) / GIB + _outside(inputs, coefficients)
    deducted = not inputs.enforce_eager and version(inputs.engine_version) >= _GRAPHS_COUNT
    graphs = (
        coefficients["memory.cuda_graph_per_layer"] * math.ceil(model.layers / stages) if deducted else 0.0
    )
    adapters = inputs.adapters * model.adapter_bytes(inputs.adapter_rank, inputs.tensor) / stages / GIB
    kv = inputs.gpu_memory_utilization * visible - weights / GIB - reserve - graphs - adapters
    error = coefficients["memory.error"] + coefficients["memory.error_share"] * (reserve + graphs)
    room, least, most = (max(0.0, space) * GIB for space in (kv, kv - error, kv + error))
    return Memory(
        visible=visible,
        budget=inputs.gpu_memory_utilization * visible,
        weights=weights / GIB,
        reserve=reserve,
        cuda_graphs=graphs,
        adapters=adapters,
        kv=room / GIB,
        kv_low=least / GIB,
        kv_high=most / GIB,
        kv_tokens=_tokens(inputs, room),
        kv_tokens_low=_tokens(inputs, least),
        kv_tokens_high=_tokens(inputs, most),
        max_concurrent_sequences=int(sequences(inputs, room, inputs.length)),
        max_context=_longest(inputs, room),
    )


def _peak(inputs: SizingInput, coefficients: Coefficients) -> float:
    """Bytes that the engine's profile run needs at its peak: the sampler's buffers, or the values of a layer."""
    model = inputs.model
    sampler = inputs.sampler or ("fused" if version(inputs.engine_version) >= _FUSED_SAMPLER else "pytorch")
    rows = inputs.slots * inputs.step_tokens  # the guesses are scored, too
    logits = rows * model.vocab * 4 * coefficients[f"memory.sampler.{sampler}"]
    layer = inputs.batched_tokens * model.activation_width(inputs.tensor) * 2
    if model.tower is not None:
        layer = max(layer, model.tower.peak)
    return max(logits, layer)


def _outside(inputs: SizingInput, coefficients: Coefficients) -> float:
    """GiB outside of PyTorch's allocator: libraries, and the buffers of NCCL."""
    nccl = coefficients["memory.nccl"] if inputs.tensor > 1 else 0.0
    known = version(inputs.engine_version)
    if known < _V1 or known >= _CONSUMED:
        return coefficients["memory.non_torch"] + nccl
    return coefficients["memory.non_torch_v1"] + nccl


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


def _tokens(inputs: SizingInput, room: float) -> int:
    """KV tokens as the engine logs them: since 0.21 those of sequences of full length, within their windows."""
    if inputs.model.uniform or version(inputs.engine_version) < (0, 21):
        return _uniform_tokens(inputs, room)
    return int(sequences(inputs, room, inputs.length) * inputs.length)


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
