"""Over how many GPUs a replica is split: the sizes that are possible, and the default."""

from dataclasses import replace

from tierup.catalog import ModelSpec, Precision
from tierup.plan.load import Classes, Load, fits, slow_end
from tierup.plan.slots import FEWEST
from tierup.sizing import SizingInput
from tierup.sizing.coefficients import load_calibration
from tierup.sizing.memory import memory

# Weights that share one scale, which cannot be split over GPUs. GPTQ, AWQ: as published; GGUF: its blocks.
GROUP = {
    Precision.GPTQ_INT4: 128,
    Precision.GPTQ_INT8: 128,
    Precision.AWQ: 128,
    Precision.Q5_K_M: 256,
    Precision.Q8_0: 32,
}


def divides(spec: ModelSpec, tensor: int) -> bool:
    """Whether vLLM can split the model over `tensor` GPUs: heads evenly, KV heads evenly or as copies."""
    heads, kv_heads = spec.q_heads.value, spec.kv_heads.value
    even = heads % tensor == 0 and spec.intermediate.value % tensor == 0
    return even and (kv_heads % tensor == 0 or tensor % kv_heads == 0)


def splits_group(spec: ModelSpec, precision: Precision, tensor: int) -> bool:
    """Whether a GPU would get part of a quantization group, in the MLP or in the output projection of the attention."""
    width = tensor * GROUP.get(precision, 1)
    return spec.intermediate.value % width != 0 or spec.q_heads.value * spec.head_dim.value % width != 0


def tensor_sizes(spec: ModelSpec, precision: Precision, most: int) -> list[int]:
    """The tensor parallel sizes that are possible, up to `most`; never empty."""
    sizes = [n for n in range(1, most + 1) if divides(spec, n) and not splits_group(spec, precision, n)]
    return sizes or [1]


def default_tensor(inputs: SizingInput, spec: ModelSpec, classes: Classes, gpus: int) -> tuple[int, str]:
    """The tensor parallel size for a stack file that gives none, and why; `gpus` are those of one server.

    Two replicas on two GPUs serve more than one replica split over both. So it is the smallest size that holds the
    weights and one conversation of full length. It is larger only where GPUs reach each other's memory and a request
    alone keeps the promises at that size, and not at a smaller one.
    """
    sizes = tensor_sizes(spec, inputs.precision, gpus // inputs.pipeline)
    tried = [replace(inputs, tensor=size) for size in sizes]
    enough = [ask for ask in tried if _holds(ask)]
    if not enough:
        return sizes[-1], "the model does not fit at any size"
    smallest = enough[0].tensor
    if inputs.gpu.link.p2p.value:
        kept = next(
            (ask.tensor for ask in enough if not Load(_few(ask), classes).missed_target(1, slow_end)),
            smallest,
        )
        if kept > smallest:
            return (
                kept,
                f"the smallest size at which a request alone surely keeps the promises; it fits {smallest}",
            )
    if smallest == 1:
        return 1, "it fits one GPU, and two replicas beat one that is split over two"
    return smallest, "the smallest size whose GPUs hold the weights and a conversation of full length"


def _holds(ask: SizingInput) -> bool:
    """Whether the GPUs surely hold the weights and a conversation of full length, with few slots."""
    few = _few(ask)
    return fits(few) and memory(few, load_calibration().values).kv_tokens_low >= (ask.context or 0)


def _few(ask: SizingInput) -> SizingInput:
    """With few slots: those of the engine can take what a large model leaves."""
    return replace(ask, max_num_seqs=FEWEST)
