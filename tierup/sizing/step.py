"""Decides how long one step of the engine takes, as terms that are linear in the calibrated coefficients.

A decoding step of B sequences costs a fixed overhead per layer, the weights and the KV cache read at the
memory's bandwidth, B tokens of matrix work, and with tensor parallelism two all-reduces a layer; the
prefills of the others are mixed into the steps. Terms are milliseconds at the data sheet's peak; a
coefficient is an inverse efficiency.
"""

from dataclasses import dataclass

from tierup.catalog import Gpu, Precision
from tierup.sizing.coefficients import Coefficients, gpu_class, memory_kind
from tierup.sizing.shape import GGUF_BITS
from tierup.sizing.types import SizingInput

# Microseconds of one small all-reduce, relative to NVLink, and GB/s it moves: through PCIe, and through
# host memory.
_LINKS = {"nvlink": (1.0, 250.0), "pcie": (2.0, 20.0), "host": (4.0, 8.0)}
# Decoding by GGUF's kernels: the plugin dequantizes first, no measurement of it in vLLM was found.
_GGUF_PENALTY = 2.0

Terms = dict[str, float]


def peak_tflops(gpu: Gpu, precision: Precision) -> float:
    """Dense peak for the matrices: weight-only formats, and FP8 where the chip lacks it, compute in 16
    bits.
    """
    dense = gpu.dense_tflops
    if precision is Precision.FP8 and dense.fp8.value is not None:
        return float(dense.fp8.value)
    return float(dense.int8.value if precision is Precision.INT8 else dense.bf16.value)


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
    def _penalty(self) -> float:
        return _GGUF_PENALTY if self.ask.precision in GGUF_BITS else 1.0

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
        weights = model.read_bytes(ask.precision) / ask.tensor * self._penalty
        flops = 2 * (model.linear + model.head) * batch / ask.tensor * self._penalty
        terms = {
            f"overhead.{'tensorrt-llm' if ask.engine == 'tensorrt-llm' else kind}": model.layers / 28,
            f"bandwidth.{kind}": (weights + kv_bytes) / bandwidth * 1e3,
            "compute.decode": flops / (peak_tflops(ask.gpu, ask.precision) * 1e12) * 1e3,
        }
        if ask.tensor > 1:
            terms["link.all_reduce"] = self._link()[0] * model.layers / 28
            terms["link.transfer"] = self._transfer_ms(batch)
        return terms

    def prefill(self, cached: bool = True) -> Terms:
        """The whole prompt of one request, less what the prefix cache has, if it is filled already."""
        ask, model = self.ask, self.ask.model
        share = 1 - ask.prefix_hit if cached else 1.0
        new = ask.prompt * share
        split = ask.tensor * ask.pipeline
        matrices = 2 * model.linear * new * self._penalty / (peak_tflops(ask.gpu, ask.precision) * 1e12)
        attention = model.attention_flops(ask.prompt) * share
        attention /= ask.gpu.dense_tflops.bf16.value * 1e12
        terms = {f"prefill.{self.chip}": (matrices + attention) / split * 1e3}
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
