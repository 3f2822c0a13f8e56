"""The input and the result of a sizing, with units."""

from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import Literal

from tierup.catalog import DEFAULT_PRECISION, Gpu, Precision
from tierup.catalog.engine import DEFAULT_ENGINE, engine_facts
from tierup.sizing.shape import ModelShape

# The default of vLLM 0.32.0 (config/cache.py). CUDA graphs are part of it since 0.21, and the memory model
# deducts them. The start-up logs that it is checked against ran with 0.25 to 0.98 (docs/accuracy.md).
GPU_MEMORY_UTILIZATION = 0.92

_UNCHUNKED = 32768  # the longest context whose prompts vLLM 0.6 and 0.7 computed in one piece

Sampler = Literal["pytorch", "fused"]  # sorts copies of the logits, or does not


def version(text: str) -> tuple[int, int]:
    """Major and minor number of an engine version; text that is no version counts as current."""
    parts = text.lstrip("v").split(".")
    try:
        return int(parts[0]), int(parts[1])
    except (ValueError, IndexError):
        return (99, 0)


# Where GPU and CPUs share one memory, the pods and the system live in the rest (assumption).
UNIFIED_MEMORY_UTILIZATION = 0.7


def default_utilization(gpu: Gpu) -> float:
    """The share of a GPU's memory that the engine takes where nobody says another one."""
    return UNIFIED_MEMORY_UTILIZATION if gpu.abilities.unified_memory else GPU_MEMORY_UTILIZATION


class Bottleneck(StrEnum):
    """What limits the next user: bandwidth and compute first, then space and load."""

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
    """What to size. Load is `concurrency` (users that each wait for their answer) or `rate` (req/s), over all
    replicas; without either it is one user.

    `prompt` and `answer` are tokens; `prefix_hit` is the share of prompt tokens in the prefix cache (0..1). With
    `burst` all users send once, at the same moment. `context` is the engine's max_model_len. `max_num_seqs` and
    `max_num_batched_tokens` default to the engine's values for the GPU. `engine` is a name of the engine facts.
    `shared`: the GPU is a share of a card, of which nothing was measured.
    `adapters` is how many LoRA adapters of `adapter_rank` have a place on the GPU. `sampler` defaults to that of the
    engine's version. `draft_tokens` are guessed for each sequence in a step by speculative decoding; what that gains in
    speed depends on the texts, and is not computed.
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
    gpu_memory_utilization: float = GPU_MEMORY_UTILIZATION
    max_num_seqs: int | None = None
    max_num_batched_tokens: int | None = None
    kv_dtype: Literal["auto", "fp8"] = "auto"
    enforce_eager: bool = False
    adapters: int = 0
    adapter_rank: int = 0
    draft_tokens: int = 0
    engine: str = DEFAULT_ENGINE
    engine_version: str = engine_facts(DEFAULT_ENGINE).version.value
    sampler: Sampler | None = None
    shared: bool = False

    @property
    def length(self) -> int:
        """The engine's max_model_len: `context`, else that of one request."""
        return self.context if self.context is not None else self.prompt + self.answer

    @property
    def slots(self) -> int:
        """The most sequences that one replica runs at once; the default is vLLM's."""
        return self.max_num_seqs if self.max_num_seqs is not None else self._defaults[0]

    @property
    def batched_tokens(self) -> int:
        """The most tokens of one step; the default is vLLM's."""
        limit = self.max_num_batched_tokens
        return limit if limit is not None else self._defaults[1]

    @cached_property
    def _defaults(self) -> tuple[int, int]:
        """Sequences and tokens of a step in vLLM 0.32.0 (`get_batch_defaults`): by memory, but not on an A100.

        Before 0.8 any GPU had 256 slots, and a prompt of up to 32,768 tokens was computed in one piece.
        """
        if engine_facts(self.engine).versions_differ and version(self.engine_version) < (0, 8):
            return 256, max(self.length, 2048) if self.length <= _UNCHUNKED else 2048
        gib = self.gpu.memory_mib.value / 1024
        if gib >= 160:
            return 1024, 16384
        return (1024, 8192) if gib >= 70 and "A100" not in self.gpu.product_label.value else (256, 2048)

    @property
    def step_tokens(self) -> int:
        """Tokens of a sequence that one step computes while it writes: the next one and the guesses."""
        return 1 + self.draft_tokens


@dataclass(frozen=True)
class Range:
    """A figure and its bounds: four of five published measurements of the GPU class fall between them."""

    p50: float
    low: float
    high: float

    def rounded(self) -> dict[str, float]:
        """The three figures by name, rounded."""
        return {"p50": rounded(self.p50), "low": rounded(self.low), "high": rounded(self.high)}


def rounded(value: float) -> float:
    """Four significant digits: the model is not more accurate than that."""
    return float(f"{value:.4g}")


@dataclass(frozen=True)
class Sizing:
    """The result. Memory is GiB per GPU; `kv_tokens`, sequences and context are per replica. The engine's KV cache
    lies between `kv_tokens_low` and `kv_tokens_high` in nine of ten start-up logs.

    Latencies are milliseconds per request; `output_tok_s` and `req_s` are over all replicas. All of them are None
    if the model does not fit. `ttft_ms` and `e2e_ms` are also None if requests arrive faster than they are answered.
    `basis` lists the measurements behind the speed figures; `extrapolated` is true if none of them covers the input.
    `notes` are what is not sized of the model.
    """

    fits: bool
    weights_gib_per_gpu: float
    kv_tokens: int
    kv_tokens_low: int
    kv_tokens_high: int
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
    notes: tuple[str, ...] = ()
