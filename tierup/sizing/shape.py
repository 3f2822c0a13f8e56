"""The shape of a model and what follows from it: bytes of weights, bytes of KV cache, operations per token."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from tierup.catalog import Precision
from tierup.sizing.parts import Attention, Experts, Stored, Tower

MEASUREMENTS = Path(__file__).parents[1] / "catalog" / "measurements"

# Bits of one linear weight, scales and zero points included. Groups of 128: 16 bits of scale and one zero
# point each.
_LINEAR_BITS = {
    Precision.BF16: 16.0,
    Precision.FP16: 16.0,
    Precision.FP8: 8.0,
    Precision.INT8: 8.0,
    Precision.GPTQ_INT8: 8 + (16 + 8) / 128,
    Precision.GPTQ_INT4: 4 + (16 + 4) / 128,
    Precision.AWQ: 4 + (16 + 4) / 128,
    Precision.MXFP4: 4 + 8 / 32,
    Precision.NVFP4: 4 + 8 / 16,
    Precision.BNB_NF4: 4 + 32 / 64,
}
# GGUF quantizes the embedding and the head too; bits per weight over the whole file. Q8_0: 32 weights and
# one scale in 34 bytes; Q5_K_M: 5,444,831,360 bytes for the 7,615,616,512 weights of Qwen2.5-7B.
GGUF_BITS = {Precision.Q8_0: 8.5, Precision.Q5_K_M: 5.72}


@dataclass(frozen=True)
class ModelShape:
    """A decoder-only transformer with gated MLP; counts, no units. `params` counts every weight in memory.

    What is left out is that of a dense decoder with full attention: `matrices` are the weights of the layers' matrices
    besides routed experts, `attention` the layers that keep keys and values, `state_bytes` what the other layers keep
    of a sequence. `stored` and `found_bytes` (of the files' index) are the repository's own. `unproven` says why no
    measurement stands behind the speed; `notes` what is not sized. `writes`: whether answers are tokens; else each is a
    vector or a score.
    """

    name: str
    params: int
    layers: int
    q_heads: int
    kv_heads: int
    head_dim: int
    hidden: int
    intermediate: int
    vocab: int
    max_context: int
    matrices: int | None = None
    experts: Experts | None = None
    attention: tuple[Attention, ...] = ()
    state_bytes: int = 0
    tower: Tower | None = None
    stored: Stored | None = None
    found_bytes: int | None = None
    unproven: str = ""
    writes: bool = True
    notes: tuple[str, ...] = ()

    @cached_property
    def _fixed(self) -> int:
        """Weights of the layers' matrices that every token is multiplied with, whatever its experts."""
        if self.matrices is not None:
            return self.matrices
        attention = self.hidden * self.head_dim * (2 * self.q_heads + 2 * self.kv_heads)
        return self.layers * (attention + 3 * self.hidden * self.intermediate)

    @property
    def linear(self) -> int:
        """Weights in the layers' matrices, which quantization packs."""
        return self._fixed + (self.experts.total if self.experts else 0)

    @property
    def active(self) -> int:
        """Weights of the layers' matrices that one token is multiplied with."""
        return self._fixed + (self.experts.active * self.experts.weights if self.experts else 0)

    @property
    def head(self) -> int:
        """Weights of the output head."""
        return self.vocab * self.hidden

    @cached_property
    def kv_layers(self) -> tuple[Attention, ...]:
        """The layers that keep keys and values."""
        if self.attention:
            return self.attention
        values, width = 2 * self.kv_heads * self.head_dim, self.q_heads * self.head_dim
        return (Attention(self.layers, values, self.kv_heads, width),)

    @cached_property
    def uniform(self) -> bool:
        """Whether each token of a sequence takes the same space, however many there are."""
        return not self.state_bytes and all(item.window is None for item in self.kv_layers)

    def weight_bytes(self, precision: Precision) -> float:
        """Bytes of all weights in memory; a tied embedding counts once."""
        if precision in GGUF_BITS:
            return self.params * GGUF_BITS[precision] / 8
        if self._is_stored(precision) and self.found_bytes is not None:
            return self.found_bytes
        return self.computed_bytes(precision)

    def computed_bytes(self, precision: Precision) -> float:
        """Bytes of all weights by the shape alone."""
        experts = self.experts.total if self.experts else 0
        head = self.head * (self._head_bits(precision) - 16) / 8
        return self._packed(precision, experts) + (self.params - self.linear) * 2 + head

    def _is_stored(self, precision: Precision) -> bool:
        own = self.stored.precision if self.stored is not None else Precision.BF16
        return precision is own or {precision, own} == {Precision.BF16, Precision.FP16}

    def _own(self, precision: Precision) -> Stored | None:
        return self.stored if self.stored is not None and self.stored.precision is precision else None

    def _head_bits(self, precision: Precision) -> float:
        own = self._own(precision)
        return own.bits if own is not None and own.head else 16.0

    def _packed(self, precision: Precision, experts: float) -> float:
        """Bytes of the layers' matrices with so many weights of experts."""
        own = self._own(precision)
        if own is None:
            return (self._fixed + experts) * _LINEAR_BITS[precision] / 8
        expert_bits = 16.0 if own.experts_kept else own.bits
        return ((self._fixed - own.kept) * own.bits + own.kept * 16 + experts * expert_bits) / 8

    def adapter_bytes(self, rank: int, tensor: int = 1) -> int:
        """Bytes of one GPU for a LoRA adapter of every matrix, embedding and head, in two bytes a value.

        The engine splits the outputs of q, k, v, gate and up, and the inputs of the other two, over the GPUs of a
        layer; the other side of each pair is on every GPU.
        """
        query, key = self.q_heads * self.head_dim // tensor, self.kv_heads * self.head_dim
        key //= min(tensor, self.kv_heads)
        inner = self.intermediate // tensor
        split = 5 * self.hidden + query + 2 * key + 2 * inner
        joined = query + inner + 2 * self.hidden
        ends = 2 * (self.vocab + self.hidden)
        return 2 * rank * (self.layers * (split + joined) + ends)

    def read_bytes(self, precision: Precision, tokens: float = 1.0) -> float:
        """Bytes of weights that one decoding step of `tokens` reads: layers and head; of the embedding a few rows."""
        experts = self.experts.read(tokens) if self.experts else 0.0
        if precision in GGUF_BITS:
            return (self._fixed + experts + self.head) * GGUF_BITS[precision] / 8
        return self._packed(precision, experts) + self.head * self._head_bits(precision) / 8

    def kv_bytes_per_token(self, kv_dtype: str = "auto", tensor: int = 1) -> float:
        """Bytes of one GPU for the keys and values of one token over all layers, within every window."""
        values = sum(item.layers * item.values / min(tensor, item.heads) for item in self.kv_layers)
        return values * _kv_bytes(kv_dtype)

    def kv_bytes(self, tokens: float, kv_dtype: str = "auto", tensor: int = 1, chunk: int = 0) -> float:
        """Bytes of one GPU for a sequence of `tokens`: keys and values within the windows, and the state.

        `chunk` is how many tokens the engine computes in a step, which a window keeps too.
        """
        values = sum(
            item.layers * item.values * item.kept(tokens, chunk) / min(tensor, item.heads)
            for item in self.kv_layers
        )
        return values * _kv_bytes(kv_dtype) + self.state_bytes / tensor

    def attention_flops(self, tokens: float) -> float:
        """Operations of causal attention over a prompt: two products of tokens x tokens / 2 for every query head."""
        return sum(
            2.0 * item.layers * item.width * tokens * min(tokens, 2 * item.kept(tokens))
            for item in self.kv_layers
        )

    def activation_width(self, tensor: int) -> float:
        """Values that a layer holds of each token at its peak: the parts of the MLP, and the states around it."""
        dense = 3 * self.intermediate / tensor + 4 * self.hidden
        if self.experts is None:
            return dense
        each = 3 * self.experts.intermediate / tensor + self.hidden
        return max(dense, self.experts.active * each + 4 * self.hidden)


def _kv_bytes(kv_dtype: str) -> int:
    return 1 if kv_dtype == "fp8" else 2
