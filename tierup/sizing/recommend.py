"""Recommends servers of the catalogue, and how to split their GPUs, that meet a target: cheapest first."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from tierup.catalog import Catalog, Precision
from tierup.sizing.coefficients import Calibration
from tierup.sizing.size import size
from tierup.sizing.types import Sizing, SizingInput

_PRECISIONS = (Precision.BF16, Precision.FP8, Precision.INT8, Precision.GPTQ_INT8, Precision.AWQ)
_MAX_SERVERS = 4


@dataclass(frozen=True)
class Target:
    """What the tier must reach: bounds in milliseconds on the high end of each range."""

    ttft_ms: float = 1000.0
    tpot_ms: float = 60.0


@dataclass(frozen=True)
class Option:
    """One way to serve the load: what it costs to buy, and how it meets the target."""

    server: str
    servers: int
    capex_usd: float
    inputs: SizingInput
    sizing: Sizing
    reason: str


def recommend(
    inputs: SizingInput, catalog: Catalog, target: Target, calibration: Calibration | None = None
) -> list[Option]:
    """For each server type, the cheapest way that meets the target; cheapest first."""
    best: dict[str, Option] = {}
    for option in _options(inputs, catalog, target, calibration):
        current = best.get(option.server)
        if current is None or _rank(option) < _rank(current):
            best[option.server] = option
    return sorted(best.values(), key=_rank)


def _rank(option: Option) -> tuple[float, bool, float]:
    """Cheaper first; at the same price the model's own precision before a quantized one, then the faster answer."""
    quantized = option.inputs.precision not in (Precision.BF16, Precision.FP16)
    return (option.capex_usd, quantized, option.sizing.e2e_ms.p50 if option.sizing.e2e_ms else 0.0)


def _options(
    inputs: SizingInput, catalog: Catalog, target: Target, calibration: Calibration | None
) -> Iterator[Option]:
    for server_id, server in catalog.servers.items():
        gpu = catalog.gpus[server.gpu]
        for servers in range(1, _MAX_SERVERS + 1):
            for tensor in (1, 2, 4, 8):
                replicas = server.gpus.value // tensor * servers
                heads = inputs.model.q_heads % tensor or inputs.model.kv_heads % min(
                    tensor, inputs.model.kv_heads
                )
                if replicas < 1 or heads:
                    continue
                for precision in _PRECISIONS:
                    if precision is Precision.FP8 and gpu.dense_tflops.fp8.value is None:
                        continue
                    candidate = replace(
                        inputs,
                        gpu_id=server.gpu,
                        gpu=gpu,
                        tensor=tensor,
                        replicas=replicas,
                        precision=precision,
                    )
                    sizing = size(candidate, calibration)
                    reason = _how_it_meets(sizing, target)
                    if reason:
                        cost = server.capex_usd.value * servers
                        yield Option(server_id, servers, cost, candidate, sizing, reason)


def _how_it_meets(sizing: Sizing, target: Target) -> str:
    """How a sizing meets the target; empty if it does not."""
    if not sizing.fits or sizing.ttft_ms is None or sizing.tpot_ms is None or sizing.output_tok_s is None:
        return ""
    if sizing.ttft_ms.high > target.ttft_ms or sizing.tpot_ms.high > target.tpot_ms:
        return ""
    text = f"TTFT at most {sizing.ttft_ms.high:.0f} of {target.ttft_ms:.0f} ms, "
    text += f"{sizing.tpot_ms.high:.0f} of {target.tpot_ms:.0f} ms a token; next limit: {sizing.bottleneck}"
    return text
