"""Sizes one input: the predicted figures, their ranges, and the measurements behind them."""

import math
from collections.abc import Iterator

from tierup.catalog.capability import Computes
from tierup.catalog.engine import engine_facts
from tierup.sizing import prompts
from tierup.sizing.bottleneck import bottleneck
from tierup.sizing.coefficients import GPU_CLASSES, Calibration, load_calibration
from tierup.sizing.load import Replica, Speed
from tierup.sizing.memory import Memory, memory
from tierup.sizing.shape import GGUF_BITS
from tierup.sizing.types import Bottleneck, Range, Sizing, SizingInput

_UNVALIDATED = 1.5  # a class measured by fewer than two groups: the error of all classes, widened by half
_UNVALIDATED_FIRST = (
    0.2  # added to the first token's error in such a class; the load matters more than the chip
)
_EXTRAPOLATED = 1.25  # an input that no measurement covers: widened by a quarter
_UNPROVEN = (
    2.0  # a model with parts, or a class of GPUs, that no measurement covers: twice as wide; assumption
)
_NARROWEST = 0.10  # no range is narrower than this on either side, whatever the residuals say
_NARROWEST_FIRST = 0.63  # the same for the time to the first token: few authors, and their clients differ


def size(inputs: SizingInput, calibration: Calibration | None = None) -> Sizing:
    """Memory and speed of one input; see `SizingInput` and `Sizing` for the units.

    Raises:
        ValueError: if tensor parallelism does not divide the heads, or the load is not positive.
    """
    calibration = calibration if calibration is not None else load_calibration()
    _check(inputs)
    gpu_memory = memory(inputs, calibration.values)
    if not gpu_memory.fits:
        return _sizing(inputs, gpu_memory, None, Bottleneck.MEMORY, calibration)
    replica = Replica(inputs, gpu_memory, calibration.values)
    speed = replica.speed() if inputs.model.writes else prompts.speed(replica)
    return _sizing(inputs, gpu_memory, speed, bottleneck(replica, speed), calibration)


def _check(inputs: SizingInput) -> None:
    problems = []
    if inputs.model.q_heads % inputs.tensor or (
        inputs.model.kv_heads % inputs.tensor and inputs.tensor % inputs.model.kv_heads
    ):
        heads = f"{inputs.model.q_heads} query and {inputs.model.kv_heads} KV heads"
        problems.append(
            f"tensor parallel size {inputs.tensor} does not divide the {heads} of {inputs.model.name}"
        )
    if inputs.model.layers < inputs.pipeline:
        problems.append(f"pipeline parallel size {inputs.pipeline} is above the {inputs.model.layers} layers")
    if inputs.concurrency is not None and inputs.rate is not None:
        problems.append("concurrency and rate exclude each other - give one")
    counts = (
        inputs.tensor,
        inputs.pipeline,
        inputs.replicas,
        inputs.prompt,
        inputs.answer,
        inputs.slots,
        inputs.batched_tokens,
    )
    loads = [load for load in (inputs.concurrency, inputs.rate) if load is not None]
    if min(counts) < 1 or any(not 0 < load < math.inf for load in loads):
        problems.append("sizes, lengths and load must be above 0 and finite")
    if not 0 < inputs.gpu_memory_utilization <= 1 or not 0 <= inputs.prefix_hit <= 1:
        problems.append("gpu_memory_utilization and prefix_hit are shares between 0 and 1")
    if problems:
        raise ValueError("; ".join(problems))


def _sizing(
    inputs: SizingInput, gpu_memory: Memory, speed: Speed | None, limit: Bottleneck, calibration: Calibration
) -> Sizing:
    basis, extrapolated = measurement_basis(inputs, calibration)
    uncertainty = speed.uncertainty if speed else 0.0
    widths = {
        name: half_width(inputs, name, calibration, uncertainty)
        for name in ("ttft_ms", "tpot_ms", "output_tok_s")
    }
    if extrapolated:
        unproven = bool(inputs.model.unproven) or not GPU_CLASSES[inputs.gpu.abilities.chip_class].measured
        wider = _UNPROVEN if unproven else _EXTRAPOLATED
        wide = ("ttft_ms", "tpot_ms", "output_tok_s") if unproven else ("tpot_ms", "output_tok_s")
        widths |= {name: widths[name] * wider for name in wide}

    def span(value: float, metric: str) -> Range | None:
        if math.isinf(value):
            return None
        factor = math.exp(widths[metric])
        return Range(p50=value, low=value / factor, high=value * factor)

    written = inputs.answer if inputs.model.writes else 0
    e2e = None
    if speed is not None and not math.isinf(speed.e2e):
        tail = speed.e2e - speed.ttft
        low = speed.ttft / math.exp(widths["ttft_ms"]) + tail / math.exp(widths["tpot_ms"])
        high = speed.ttft * math.exp(widths["ttft_ms"]) + tail * math.exp(widths["tpot_ms"])
        e2e = Range(p50=speed.e2e, low=low, high=high)
    return Sizing(
        fits=speed is not None,
        weights_gib_per_gpu=gpu_memory.weights,
        kv_tokens=gpu_memory.kv_tokens,
        kv_tokens_low=gpu_memory.kv_tokens_low,
        kv_tokens_high=gpu_memory.kv_tokens_high,
        max_concurrent_sequences=gpu_memory.max_concurrent_sequences,
        max_context=gpu_memory.max_context,
        ttft_ms=span(speed.ttft, "ttft_ms") if speed else None,
        tpot_ms=span(speed.tpot, "tpot_ms") if speed else None,
        e2e_ms=e2e,
        output_tok_s=span(speed.req_s * written * inputs.replicas, "output_tok_s") if speed else None,
        req_s=span(speed.req_s * inputs.replicas, "output_tok_s") if speed else None,
        bottleneck=limit,
        basis=basis,
        extrapolated=extrapolated,
        notes=(*inputs.model.notes, *_not_loaded(inputs)),
    )


def _not_loaded(inputs: SizingInput) -> Iterator[str]:
    """What keeps the engine from serving this, whatever the memory."""
    gpu, precision = inputs.gpu, inputs.precision
    if gpu.abilities.computes(precision) is Computes.NOT:
        able = gpu.abilities.as_stored | gpu.abilities.in_16_bits
        loaded = ", ".join(item for item in engine_facts(inputs.engine).loads.value if item in able)
        capability = gpu.compute_capability.value
        yield f"not served: {precision} at compute capability {capability} - {loaded} are"


def half_width(inputs: SizingInput, metric: str, calibration: Calibration, uncertainty: float = 0.0) -> float:
    """Half width of a range, as a natural logarithm; `uncertainty` is what the load adds to the first token's.

    The range of a class is never narrower than that of all classes: the few rows of a class share authors.
    """
    spread = calibration.spreads.get((metric, inputs.gpu.abilities.chip_class))
    validated = spread is not None and len(spread.groups) > 1 and not inputs.shared
    if metric == "ttft_ms":
        error = max(_NARROWEST_FIRST, calibration.anywhere[metric])
        return math.hypot(error, uncertainty, 0.0 if validated else _UNVALIDATED_FIRST)
    widest = max(_NARROWEST, calibration.anywhere[metric], spread.q if spread else 0.0)
    return widest if validated else widest * _UNVALIDATED


def measurement_basis(inputs: SizingInput, calibration: Calibration) -> tuple[tuple[str, ...], bool]:
    """The measurements behind the figures, one line each, and whether this input lies outside of them."""
    chip = inputs.gpu.abilities.chip_class
    title = GPU_CLASSES[chip].title
    lines: list[str] = []
    gpus: set[str] = set()
    for (metric, where), spread in sorted(calibration.spreads.items()):
        if where == chip and (metric != "tp_ratio" or inputs.tensor > 1):
            gpus.update(spread.gpus)
            groups = ", ".join(spread.groups)
            lines.append(f"{metric} on {title}: {spread.rows} rows of {groups}")
            if len(spread.groups) < 2:
                lines.append(f"{metric} on {title}: not validated by a second group, range widened")
    reasons = _extrapolations(inputs, chip, gpus)
    lines.extend(f"extrapolated: {reason}" for reason in reasons)
    return tuple(lines), bool(reasons)


def _extrapolations(inputs: SizingInput, chip: str, gpus: set[str]) -> list[str]:
    """Why no measurement covers this input."""
    reasons = []
    if not GPU_CLASSES[chip].measured:
        like = GPU_CLASSES[GPU_CLASSES[chip].like].title
        reasons.append(
            f"not validated: no measurement of {GPU_CLASSES[chip].title}, computed with the coefficients of {like}"
        )
    elif inputs.gpu_id not in gpus:
        reasons.append(f"no measurement of {inputs.gpu_id} itself")
    if inputs.precision in GGUF_BITS:
        reasons.append(f"no measurement of {inputs.precision} in {engine_facts(inputs.engine).title}")
    if inputs.pipeline > 1:
        reasons.append("no measurement of pipeline parallelism")
    if inputs.tensor > 1 and (chip in ("a100", "ada") or inputs.gpu.link.kind.value == "pcie"):
        reasons.append("no current measurement of tensor parallelism over this link")
    if inputs.model.unproven:
        reasons.append(f"not validated: no measurement of {inputs.model.unproven}")
    if inputs.shared:
        reasons.append("not validated: no measurement of a shared GPU")
    if inputs.prompt > 131072 or inputs.model.params > 80e9:
        reasons.append("prompt or model beyond those measured")
    return reasons
