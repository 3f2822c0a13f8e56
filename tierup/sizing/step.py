"""Decides how long one step of the engine takes, as terms that are linear in the calibrated coefficients.

A decoding step of B sequences costs a fixed overhead per layer, the weights and the KV cache read at the
memory's bandwidth, B tokens of matrix work, and with tensor parallelism two all-reduces a layer; the
prefills of the others are mixed into the steps. Terms are milliseconds at the data sheet's peak; a
coefficient is an inverse efficiency.
"""

from dataclasses import dataclass

from tierup.catalog import Gpu, Precision
from tierup.catalog.engine import engine_facts
from tierup.sizing.coefficients import Coefficients, gpu_class, memory_kind
from tierup.sizing.shape import GGUF_BITS
from tierup.sizing.types import SizingInput

# Microseconds of one small all-reduce, relative to NVLink, and GB/s it moves: through PCIe, and through
# host memory.
_LINKS = {"nvlink": (1.0, 250.0), "pcie": (2.0, 20.0), "host": (4.0, 8.0)}
# Decoding by GGUF's kernels: the plugin dequantizes first, no measurement of it in vLLM was found.
_GGUF_PENALTY = 2.0
# Matrix work, relative to that of 16-bit weights at the format's own peak. Weight-only kernels unpack before they
# multiply (assumption); 8-bit ones scale their activations: TensorRT-LLM 0.15 publishes 45 % of an H100's peak in
# FP8 where BF16 reaches 51 % (Llama-3.1-8B, 2048 tokens in, 128 out).
_WEIGHT_ONLY = 1.1
_EIGHT_BIT = 1.1
# Cards whose power does not feed the data sheet's rate: the same table has 65 % of peak on the A100 SXM, 52 % on the
# PCIe card, 37 % on the L40S. L4 and H100 PCIe by analogy of their watts.
_POWER_LIMITED = {
    "a100-40g-pcie": 1.25,
    "a100-80g-pcie": 1.25,
    "h100-80g-pcie": 1.25,
    "l40s": 1.5,
    "l4": 1.5,
}

Terms = dict[str, float]


def peak_tflops(gpu: Gpu, precision: Precision) -> float:
    """Dense peak for the matrices: weight-only formats, and FP8 where the chip lacks it, compute in 16
    bits; 8 bits are at most twice as fast, also where GeForce sheets promise four times.
    """
    dense = gpu.dense_tflops
    sixteen, eight = float(dense.bf16.value), None
    if precision in (Precision.FP8, Precision.INT8):
        eight = dense.fp8.value if precision is Precision.FP8 else dense.int8.value
    return sixteen if eight is None else min(float(eight), 2 * sixteen)


def matrix_factor(gpu_id: str, gpu: Gpu, precision: Precision) -> float:
    """How much slower than 16-bit weights on a card with full power the matrices are, at the same peak."""
    factor = _POWER_LIMITED.get(gpu_id, 1.0)
    if precision in GGUF_BITS:
        return factor * _GGUF_PENALTY
    if precision in (Precision.BF16, Precision.FP16):
        return factor
    computes = precision is Precision.INT8 or (
        precision is Precision.FP8 and gpu.dense_tflops.fp8.value is not None
    )
    return factor * (_EIGHT_BIT if computes else _WEIGHT_ONLY)


def total(terms: Terms, k: Coefficients) -> float:
    """Milliseconds: every term times its coefficient."""
    return sum(k[name] * value for name, value in terms.items())


@dataclass(frozen=True)
class Steps:
    """The engine's steps for one question; all times in milliseconds at peak."""

    ask: SizingInput

    @property
    def chip(self) -> str:
        return gpu_class(self.ask.gpu_id, self.ask.gpu)

    @property
    def _rate(self) -> float:
        """Operations per millisecond of the matrices, before the coefficient."""
        ask = self.ask
        return peak_tflops(ask.gpu, ask.precision) * 1e9 / matrix_factor(ask.gpu_id, ask.gpu, ask.precision)

    def _link(self) -> tuple[float, float]:
        link = self.ask.gpu.link
        return _LINKS["host" if not link.p2p.value else link.kind.value]

    def _transfer_ms(self, tokens: float) -> float:
        """Time that the all-reduces' bytes take on the link; no coefficient."""
        model, tp = self.ask.model, self.ask.tensor
        moved = 2 * model.layers * tokens * model.hidden * 2 * 2 * (tp - 1) / tp
        return moved / (self._link()[1] * 1e9) * 1e3

    def decode(self, sequences: float, context: float) -> Terms:
        """One step that gives each of `sequences` a token, at a mean context of `context` tokens."""
        ask, model = self.ask, self.ask.model
        batch = sequences / ask.pipeline  # stages work on different parts of the batch at once
        kind = memory_kind(self.chip)
        bandwidth = ask.gpu.bandwidth_gb_s.value * 1e9
        kv_split = min(ask.tensor, model.kv_heads)
        kv_bytes = batch * context * model.kv_bytes_per_token(ask.kv_dtype) / kv_split
        penalty = _GGUF_PENALTY if ask.precision in GGUF_BITS else 1.0
        weights = model.read_bytes(ask.precision) / ask.tensor * penalty
        flops = 2 * (model.linear + model.head) * batch / ask.tensor
        terms = {
            self._overhead(): model.layers / 28,
            f"bandwidth.{kind}": (weights + kv_bytes) / bandwidth * 1e3,
            "compute.decode": flops / self._rate,
        }
        if engine_facts(ask.engine).overhead.per_sequence:
            terms["overhead.sequence"] = sequences
        if ask.enforce_eager:
            terms["overhead.eager"] = model.layers / 28
        if ask.tensor > 1:
            terms["link.all_reduce"] = self._link()[0] * model.layers / 28
            terms["link.transfer"] = self._transfer_ms(batch)
        return terms

    def _overhead(self) -> str:
        if engine_facts(self.ask.engine).overhead.step_ms is not None:
            return f"overhead.{self.ask.engine}"
        return f"overhead.{self.chip if self.chip in ('a100', 'hopper') else 'gddr'}"

    def prefill(self) -> Terms:
        """The whole prompt of one request, less what the prefix cache has."""
        ask, model = self.ask, self.ask.model
        share = 1 - ask.prefix_hit
        new = ask.prompt * share
        split = ask.tensor * ask.pipeline
        matrices = 2 * model.linear * new / self._rate
        attention = model.attention_flops(ask.prompt) * share / (ask.gpu.dense_tflops.bf16.value * 1e9)
        terms = {f"prefill.{self.chip}": (matrices + attention) / split}
        if ask.tensor > 1:
            terms["link.transfer"] = self._transfer_ms(new)
        return terms


def scaled(terms: Terms, factor: float) -> Terms:
    return {name: value * factor for name, value in terms.items()}


def added(*many: Terms) -> Terms:
    result: Terms = {}
    for terms in many:
        for name, value in terms.items():
            result[name] = result.get(name, 0.0) + value
    return result
