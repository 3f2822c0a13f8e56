"""The time of one engine step, as terms that are linear in the calibrated coefficients.

A decoding step of B sequences has a fixed overhead per layer, reads the weights and the KV cache at the bandwidth of
the memory, does the matrix work of B tokens and, with tensor parallelism, two all-reduces per layer. Prefills of
other requests share the steps. Terms are milliseconds at the peak rates of the data sheet; a coefficient is an
inverse efficiency.
"""

from dataclasses import dataclass
from functools import cached_property

from tierup.catalog import Gpu, Precision
from tierup.catalog.capability import Computes
from tierup.catalog.engine import engine_facts
from tierup.sizing.coefficients import GPU_CLASSES, ChipClass, Coefficients, engine_overhead
from tierup.sizing.shape import GGUF_BITS
from tierup.sizing.types import SizingInput

# Latency of a small all-reduce relative to NVLink, and GB/s of a large one: over NVLink, PCIe, and through host memory.
_LINKS = {"nvlink": (1.0, 250.0), "infinity-fabric": (1.0, 250.0), "pcie": (2.0, 20.0), "host": (4.0, 8.0)}
# GGUF kernels: the plugin dequantizes before it decodes. We found no measurement of it in vLLM.
_GGUF_PENALTY = 2.0
# Matrix work, relative to that of 16-bit weights at the format's own peak. Weight-only kernels unpack before they
# multiply (assumption); 8-bit ones scale their activations: TensorRT-LLM 0.15 publishes 45 % of an H100's peak in
# FP8 where BF16 reaches 51 % (Llama-3.1-8B, 2048 tokens in, 128 out).
_WEIGHT_ONLY = 1.1
_EIGHT_BIT = 1.1
# Cards whose power limit keeps them below the rate of the data sheet: the same table shows 65 % of peak on the A100
# SXM, 52 % on the PCIe card, 37 % on the L40S. The others are estimated from their power limits.
_POWER_LIMITED = {
    "a100-40g-pcie": 1.25,
    "a100-80g-pcie": 1.25,
    "h100-80g-pcie": 1.25,
    "h100-94g-nvl": 1.25,
    "a30": 1.25,
    "gb10": 1.25,
    "l40s": 1.5,
    "l4": 1.5,
    "rtx-6000-ada": 1.5,
    "a10": 1.5,
    "t4": 1.5,
}

_SIXTEEN_BIT = (Precision.BF16, Precision.FP16)

Terms = dict[str, float]


def peak_tflops(gpu: Gpu, precision: Precision) -> float:
    """Dense peak TFLOPS of the matrix work. Weight-only formats, and those that the GPU does not compute, in 16 bits.

    8 bits count at most twice as fast, although data sheets of GeForce cards state four times. Four bits count as 8:
    nobody published how much faster they are.
    """
    dense = gpu.dense_tflops
    sixteen, eight = dense.fp16.value, None
    if gpu.abilities.computes(precision) is Computes.AS_STORED and precision not in _SIXTEEN_BIT:
        eight = dense.int8 if precision is Precision.INT8 else dense.fp8
    return sixteen if eight is None else min(eight.value, 2 * sixteen)


def matrix_factor(gpu_id: str, gpu: Gpu, precision: Precision) -> float:
    """How much slower matrix work is than with 16-bit weights on a card without a power limit, at the same peak."""
    factor = _POWER_LIMITED.get(gpu_id, 1.0)
    if precision in GGUF_BITS:
        return factor * _GGUF_PENALTY
    if precision in _SIXTEEN_BIT:
        return factor
    native = gpu.abilities.computes(precision) is Computes.AS_STORED
    return factor * (_EIGHT_BIT if native else _WEIGHT_ONLY)


def total(terms: Terms, coefficients: Coefficients) -> float:
    """Milliseconds: every term times its coefficient."""
    return sum(coefficients[name] * value for name, value in terms.items())


@dataclass(frozen=True)
class Steps:
    """The engine's steps for one sizing input; all times in milliseconds at peak rates."""

    inputs: SizingInput

    @cached_property
    def _chip(self) -> ChipClass:
        return GPU_CLASSES[self.inputs.gpu.abilities.chip_class]

    @cached_property
    def _rate(self) -> float:
        """Operations of matrix work per millisecond, before the coefficient."""
        inputs = self.inputs
        return (
            peak_tflops(inputs.gpu, inputs.precision)
            * 1e9
            / matrix_factor(inputs.gpu_id, inputs.gpu, inputs.precision)
        )

    def _link(self) -> tuple[float, float]:
        link = self.inputs.gpu.link
        return _LINKS["host" if not link.p2p.value else link.kind.value]

    def _transfer_ms(self, tokens: float) -> float:
        """Milliseconds that the bytes of the all-reduces take on the link, before the coefficient."""
        model, tp = self.inputs.model, self.inputs.tensor
        transferred = 2 * model.layers * tokens * model.hidden * 2 * 2 * (tp - 1) / tp
        return transferred / (self._link()[1] * 1e9) * 1e3

    def decode(self, sequences: float, context: float) -> Terms:
        """One step that gives each of `sequences` a token, at a mean context of `context` tokens."""
        inputs, model = self.inputs, self.inputs.model
        batch = sequences / inputs.pipeline  # stages work on different parts of the batch at once
        kind = self._chip.memory
        bandwidth = inputs.gpu.bandwidth_gb_s.value * 1e9
        kv_bytes = batch * model.kv_bytes(context, inputs.kv_dtype, inputs.tensor)
        penalty = _GGUF_PENALTY if inputs.precision in GGUF_BITS else 1.0
        weights = model.read_bytes(inputs.precision, batch) / inputs.tensor * penalty
        flops = 2 * (model.active + model.head) * batch / inputs.tensor
        terms = {
            self._overhead(): model.layers / 28,
            f"bandwidth.{kind}": (weights + kv_bytes) / bandwidth * 1e3,
            "compute.decode": flops / self._rate,
        }
        if engine_facts(inputs.engine).overhead.per_sequence:
            terms["overhead.sequence"] = sequences
        if inputs.enforce_eager:
            terms["overhead.eager"] = model.layers / 28
        if inputs.tensor > 1:
            terms["link.all_reduce"] = self._link()[0] * model.layers / 28
            terms["link.transfer"] = self._transfer_ms(batch)
        return terms

    def _overhead(self) -> str:
        if engine_facts(self.inputs.engine).overhead.step_ms is not None:
            return engine_overhead(self.inputs.engine)
        return f"overhead.{self._chip.like if self._chip.memory == 'hbm' else 'gddr'}"

    def prefill(self) -> Terms:
        """The prompt of one request, without the part in the prefix cache."""
        inputs, model = self.inputs, self.inputs.model
        share = 1 - inputs.prefix_hit
        new = inputs.prompt * share
        split = inputs.tensor * inputs.pipeline
        matrices = 2 * model.active * new / self._rate
        attention = model.attention_flops(inputs.prompt) * share / (inputs.gpu.dense_tflops.fp16.value * 1e9)
        terms = {f"prefill.{self._chip.like}": (matrices + attention) / split}
        if inputs.tensor > 1:
            terms["link.transfer"] = self._transfer_ms(new)
        return terms


def scale(terms: Terms, factor: float) -> Terms:
    return {name: value * factor for name, value in terms.items()}


def add(*many: Terms) -> Terms:
    result: Terms = {}
    for terms in many:
        for name, value in terms.items():
            result[name] = result.get(name, 0.0) + value
    return result
