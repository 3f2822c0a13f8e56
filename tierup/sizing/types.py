"""What a sizing question and its answer are, with units."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from tierup.catalog import DEFAULT_PRECISION, Gpu, Precision
from tierup.catalog.engine import DEFAULT_ENGINE, engine_facts
from tierup.sizing.shape import ModelShape


class Bottleneck(StrEnum):
    """What limits the next user: the first three are bandwidth and compute, the others are space and load."""

    WEIGHTS = "weight bandwidth"
    KV_READ = "KV cache bandwidth"
    DECODE_COMPUTE = "decode compute"
    PREFILL = "prefill"
    OVERHEAD = "per-step overhead"
    INTERCONNECT = "interconnect"
    KV_SPACE = "KV cache space"
    SLOTS = "max_num_seqs"
    RATE = "arrival rate above capacity"
    MEMORY = "does not fit"


@dataclass(frozen=True)
class SizingInput:
    """One question. Load is `concurrency` (users that each wait for their answer) or `rate` (req/s), over all
    replicas; neither: one user.

    `prompt` and `answer` are tokens; `prefix_hit` is the share of prompt tokens found in the prefix cache
    (0..1); `burst`: all users send at the same moment, once. `context` is the engine's max_model_len.
    `max_num_seqs` and `max_num_batched_tokens` unset: the engine's defaults for the GPU. `engine` is a name of the
    engine facts.
    """

    model: ModelShape
    gpu_id: str
    gpu: Gpu
    precision: Precision = DEFAULT_PRECISION
    tensor: int = 1
    pipeline: int = 1
    replicas: int = 1
    prompt: int = 512
    answer: int = 200
    concurrency: float | None = None
    rate: float | None = None
    burst: bool = False
    prefix_hit: float = 0.0
    context: int | None = None
    gpu_memory_utilization: float = 0.92
    max_num_seqs: int | None = None
    max_num_batched_tokens: int | None = None
    kv_dtype: Literal["auto", "fp8"] = "auto"
    enforce_eager: bool = False
    engine: str = DEFAULT_ENGINE
    engine_version: str = engine_facts(DEFAULT_ENGINE).version.value

    @property
    def slots(self) -> int:
        """Sequences that one replica runs at once at most (vLLM: 1024 on 80 GB Hopper and up, else 256)."""
        return self.max_num_seqs if self.max_num_seqs is not None else (1024 if self._large else 256)

    @property
    def batched_tokens(self) -> int:
        """Tokens of one step at most (vLLM: 8192 on 80 GB Hopper and up, else 2048)."""
        said = self.max_num_batched_tokens
        return said if said is not None else (8192 if self._large else 2048)

    @property
    def _large(self) -> bool:
        return self.gpu.architecture.value == "hopper" and self.gpu.memory_mib.value >= 70 * 1024


@dataclass(frozen=True)
class Range:
    """A figure and the bounds that four of five published measurements of its class fall into."""

    p50: float
    low: float
    high: float

    def rounded(self) -> dict[str, float]:
        """As plain data."""
        return {"p50": rounded(self.p50), "low": rounded(self.low), "high": rounded(self.high)}


def rounded(value: float) -> float:
    """Four significant digits: more would promise what the model does not know."""
    return float(f"{value:.4g}")


@dataclass(frozen=True)
class Sizing:
    """One answer. Memory is per GPU in GiB; `kv_tokens`, sequences and context are per replica.

    Latencies are milliseconds per request; `output_tok_s` and `req_s` are over all replicas. They are None
    if the model does not fit, and the time to the first token and end to end also if requests arrive faster
    than they leave.
    `basis` names the measurements behind the speed figures; `extrapolated` says that none covers this case.
    """

    fits: bool
    weights_gib_per_gpu: float
    kv_tokens: int
    max_concurrent_sequences: int
    max_context: int
    ttft_ms: Range | None
    tpot_ms: Range | None
    e2e_ms: Range | None
    output_tok_s: Range | None
    req_s: Range | None
    bottleneck: Bottleneck
    basis: tuple[str, ...]
    extrapolated: bool
