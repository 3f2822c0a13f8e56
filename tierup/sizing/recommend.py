"""Decides which of the catalogue's servers, split in which way, meet a target, cheapest first."""

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
    """What the tier must hold: bounds in milliseconds on the high end of each range."""

    ttft_ms: float = 1000.0
    tpot_ms: float = 60.0


@dataclass(frozen=True)
class Option:
    """One way to serve the load: USD of capex, and why it is where it is in the list."""

    server: str
    servers: int
    capex_usd: float
    ask: SizingInput
    sizing: Sizing
    reason: str


def recommend(
    ask: SizingInput, catalog: Catalog, target: Target, calibration: Calibration | None = None
) -> list[Option]:
    """The cheapest setting of every server type that meets the target, cheapest first."""
    best: dict[str, Option] = {}
    for option in _options(ask, catalog, target, calibration):
        held = best.get(option.server)
        if held is None or _rank(option) < _rank(held):
            best[option.server] = option
    return sorted(best.values(), key=_rank)


def _rank(option: Option) -> tuple[float, bool, float]:
    """Cheaper first; at one price the model's own precision before a quantized one, then the faster
    answer.
    """
    quantized = option.ask.precision not in (Precision.BF16, Precision.FP16)
    return (option.capex_usd, quantized, option.sizing.e2e_ms.p50 if option.sizing.e2e_ms else 0.0)


def _options(
    ask: SizingInput, catalog: Catalog, target: Target, calibration: Calibration | None
) -> Iterator[Option]:
    for server_id, server in catalog.servers.items():
        gpu = catalog.gpus[server.gpu]
        for servers in range(1, _MAX_SERVERS + 1):
            for tensor in (1, 2, 4, 8):
                replicas = server.gpus.value // tensor * servers
                heads = ask.model.q_heads % tensor or ask.model.kv_heads % min(tensor, ask.model.kv_heads)
                if replicas < 1 or heads:
                    continue
                for precision in _PRECISIONS:
                    if precision is Precision.FP8 and gpu.dense_tflops.fp8.value is None:
                        continue
                    tried = replace(
                        ask, gpu_id=server.gpu, gpu=gpu, tensor=tensor, replicas=replicas, precision=precision
                    )
                    found = size(tried, calibration)
                    why = _met(found, target)
                    if why:
                        cost = server.capex_usd.value * servers
                        yield Option(server_id, servers, cost, tried, found, why)


def _met(found: Sizing, target: Target) -> str:
    """Why an option meets the target, empty if it does not."""
    if not found.fits or found.ttft_ms is None or found.tpot_ms is None or found.output_tok_s is None:
        return ""
    if found.ttft_ms.high > target.ttft_ms or found.tpot_ms.high > target.tpot_ms:
        return ""
    text = f"TTFT at most {found.ttft_ms.high:.0f} of {target.ttft_ms:.0f} ms, "
    text += f"{found.tpot_ms.high:.0f} of {target.tpot_ms:.0f} ms a token; next limit: {found.bottleneck}"
    return text
