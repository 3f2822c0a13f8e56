"""Decides the answer to one sizing question: point figures, their ranges, and what they rest on."""

import math

from tierup.catalog.engine import engine_facts
from tierup.sizing.bottleneck import bottleneck
from tierup.sizing.coefficients import GPU_CLASSES, Calibration, gpu_class, load_calibration
from tierup.sizing.load import Replica, Speed
from tierup.sizing.memory import Memory, memory
from tierup.sizing.shape import GGUF_BITS
from tierup.sizing.types import Bottleneck, Range, Sizing, SizingInput

_UNVALIDATED = 1.5  # a class with fewer than two groups: the error of all classes, widened by half
_UNVALIDATED_FIRST = 0.2  # the first token errs with the load more than with the chip: so much, independently
_EXTRAPOLATED = 1.25  # a case that no measurement covers: by a quarter more
_NARROWEST = 0.10  # no range is narrower than this on either side, whatever the residuals say
_NARROWEST_FIRST = 0.63  # nor one of the first token than this: few authors, and their clients differ


def size(ask: SizingInput, calibration: Calibration | None = None) -> Sizing:
    """Memory and speed of one question; see `SizingInput` and `Sizing` for the units.

    Raises:
        ValueError: if tensor parallelism does not divide the heads, or the load is not positive.
    """
    known = calibration if calibration is not None else load_calibration()
    _check(ask)
    room = memory(ask, known.values)
    if not room.fits:
        return _answer(ask, room, None, Bottleneck.MEMORY, known)
    replica = Replica(ask, room, known.values)
    speed = replica.speed()
    return _answer(ask, room, speed, bottleneck(replica, speed), known)


def _check(ask: SizingInput) -> None:
    problems = []
    if ask.model.q_heads % ask.tensor or (
        ask.model.kv_heads % ask.tensor and ask.tensor % ask.model.kv_heads
    ):
        heads = f"{ask.model.q_heads} query and {ask.model.kv_heads} KV heads"
        problems.append(f"tensor parallel size {ask.tensor} does not divide the {heads} of {ask.model.name}")
    if ask.model.layers < ask.pipeline:
        problems.append(f"pipeline parallel size {ask.pipeline} is above the {ask.model.layers} layers")
    if ask.concurrency is not None and ask.rate is not None:
        problems.append("concurrency and rate are two kinds of load - give one")
    counts = (ask.tensor, ask.pipeline, ask.replicas, ask.prompt, ask.answer, ask.slots, ask.batched_tokens)
    loads = [load for load in (ask.concurrency, ask.rate) if load is not None]
    if min(counts) < 1 or any(not 0 < load < math.inf for load in loads):
        problems.append("sizes, lengths and load must be above 0 and finite")
    if not 0 < ask.gpu_memory_utilization <= 1 or not 0 <= ask.prefix_hit <= 1:
        problems.append("gpu_memory_utilization and prefix_hit are shares between 0 and 1")
    if problems:
        raise ValueError("; ".join(problems))


def _answer(
    ask: SizingInput, room: Memory, speed: Speed | None, limit: Bottleneck, known: Calibration
) -> Sizing:
    basis, extrapolated = basis_of(ask, known)
    doubt = speed.doubt if speed else 0.0
    spread = {name: spread_of(ask, name, known, doubt) for name in ("ttft_ms", "tpot_ms", "output_tok_s")}
    if extrapolated:
        spread |= {name: spread[name] * _EXTRAPOLATED for name in ("tpot_ms", "output_tok_s")}

    def span(value: float, metric: str) -> Range | None:
        if math.isinf(value):
            return None
        factor = math.exp(spread[metric])
        return Range(p50=value, low=value / factor, high=value * factor)

    e2e = None
    if speed is not None and not math.isinf(speed.e2e):
        tail = speed.e2e - speed.ttft
        low = speed.ttft / math.exp(spread["ttft_ms"]) + tail / math.exp(spread["tpot_ms"])
        high = speed.ttft * math.exp(spread["ttft_ms"]) + tail * math.exp(spread["tpot_ms"])
        e2e = Range(p50=speed.e2e, low=low, high=high)
    return Sizing(
        fits=speed is not None,
        weights_gib_per_gpu=room.weights,
        kv_tokens=room.kv_tokens,
        max_concurrent_sequences=room.max_concurrent_sequences,
        max_context=room.max_context,
        ttft_ms=span(speed.ttft, "ttft_ms") if speed else None,
        tpot_ms=span(speed.tpot, "tpot_ms") if speed else None,
        e2e_ms=e2e,
        output_tok_s=span(speed.req_s * ask.answer * ask.replicas, "output_tok_s") if speed else None,
        req_s=span(speed.req_s * ask.replicas, "output_tok_s") if speed else None,
        bottleneck=limit,
        basis=basis,
        extrapolated=extrapolated,
    )


def spread_of(ask: SizingInput, metric: str, known: Calibration, doubt: float = 0.0) -> float:
    """Half width of a range, as a natural logarithm; `doubt` is what the load adds to the first token's.

    No class is trusted more than all of them together: its few rows share authors.
    """
    found = known.spreads.get((metric, gpu_class(ask.gpu_id, ask.gpu)))
    seen = found is not None and len(found.groups) > 1
    if metric == "ttft_ms":
        known_error = max(_NARROWEST_FIRST, known.anywhere[metric])
        return math.hypot(known_error, doubt, 0.0 if seen else _UNVALIDATED_FIRST)
    widest = max(_NARROWEST, known.anywhere[metric], found.q if found else 0.0)
    return widest if seen else widest * _UNVALIDATED


def basis_of(ask: SizingInput, known: Calibration) -> tuple[tuple[str, ...], bool]:
    """The measurements behind a class, and whether this very question lies outside of them."""
    chip = gpu_class(ask.gpu_id, ask.gpu)
    lines: list[str] = []
    gpus: set[str] = set()
    for (metric, where), found in sorted(known.spreads.items()):
        if where == chip and (metric != "tp_ratio" or ask.tensor > 1):
            gpus.update(found.gpus)
            groups = ", ".join(found.groups)
            lines.append(f"{metric} on {GPU_CLASSES[chip]}: {found.rows} rows of {groups}")
            if len(found.groups) < 2:
                lines.append(
                    f"{metric} on {GPU_CLASSES[chip]}: not validated by a second group, range widened"
                )
    reasons = _reasons(ask, chip, gpus)
    lines.extend(f"extrapolated: {reason}" for reason in reasons)
    return tuple(lines), bool(reasons)


def _reasons(ask: SizingInput, chip: str, gpus: set[str]) -> list[str]:
    """Why no measurement covers this question."""
    reasons = []
    if ask.gpu_id not in gpus:
        reasons.append(f"no measurement of {ask.gpu_id} itself")
    if ask.precision in GGUF_BITS:
        reasons.append(f"no measurement of {ask.precision} in {engine_facts(ask.engine).title}")
    if ask.pipeline > 1:
        reasons.append("no measurement of pipeline parallelism")
    if ask.tensor > 1 and (chip in ("a100", "ada") or ask.gpu.link.kind.value == "pcie"):
        reasons.append("no current measurement of tensor parallelism over this link")
    if ask.prompt > 131072 or ask.model.params > 80e9:
        reasons.append("prompt or model beyond those measured")
    return reasons
