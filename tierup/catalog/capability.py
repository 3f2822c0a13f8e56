"""What GPUs can do, by compute capability: the only place that says so.

The number formats are those of the tensor cores (NVIDIA's CUDA programming guide, compute capabilities; AMD's CDNA 3
white paper). What is loaded, and how, is what vLLM 0.32.0 does: `get_min_capability` of its quantization methods,
`supports_compute_capability` of its attention backends, `get_flash_attn_version`, and the note on INT8 in its
documentation (llm_compressor/int8_w8a8.md: not at 10.0 and above).
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from tierup.catalog.precision import Precision


class Architecture(StrEnum):
    """The GPU generation."""

    VOLTA = "volta"
    TURING = "turing"
    AMPERE = "ampere"
    ADA = "ada"
    HOPPER = "hopper"
    BLACKWELL = "blackwell"
    CDNA3 = "cdna3"


class Computes(StrEnum):
    """How a GPU computes with weights of a precision."""

    AS_STORED = "as stored"
    IN_16_BITS = "in 16 bits"  # the weights are unpacked first: less memory, not more speed
    NOT = "not"


Vendor = Literal["nvidia", "amd"]
_GGUF_AND_BNB = frozenset({Precision.Q8_0, Precision.Q5_K_M, Precision.BNB_NF4})
_GROUPED = frozenset({Precision.GPTQ_INT8, Precision.GPTQ_INT4, Precision.AWQ})
_FOUR_BIT_FLOATS = frozenset({Precision.MXFP4, Precision.NVFP4})
# Stored to be computed as they are: in 16 bits they save memory only.
MEANT_AS_STORED = frozenset({Precision.FP8}) | _FOUR_BIT_FLOATS


@dataclass(frozen=True)
class Abilities:
    """What GPUs of one compute capability do.

    `chip_class` is the class whose measurements apply: the same chip family with the same kind of memory. `as_stored`
    and `in_16_bits` are the precisions that they load; all others they do not. `flash_attention` is the version that
    the engine uses, None: none. `fp8_kv`: whether an FP8 KV cache keeps the attention kernel, None: there is no kernel
    for one. `unified_memory`: GPU and CPUs share one memory.
    """

    architecture: Architecture
    chip_class: str
    as_stored: frozenset[Precision]
    in_16_bits: frozenset[Precision]
    flash_attention: int | None
    fp8_kv: bool | None
    unified_memory: bool = False
    vendor: Vendor = "nvidia"

    def computes(self, precision: Precision) -> Computes:
        """How these GPUs compute with weights of a precision."""
        if precision in self.as_stored:
            return Computes.AS_STORED
        return Computes.IN_16_BITS if precision in self.in_16_bits else Computes.NOT

    def saves_memory_only(self, precision: Precision) -> bool:
        """Whether a precision that is meant to be faster is computed in 16 bits."""
        return precision in MEANT_AS_STORED and self.computes(precision) is Computes.IN_16_BITS


_FP16 = frozenset({Precision.FP16})
_AMPERE = frozenset({Precision.BF16, Precision.FP16, Precision.INT8})
_ADA = _AMPERE | {Precision.FP8}
_BLACKWELL = frozenset({Precision.BF16, Precision.FP16, Precision.FP8}) | _FOUR_BIT_FLOATS
_WEIGHTS = _GROUPED | _GGUF_AND_BNB
_BELOW_ADA = _WEIGHTS | _FOUR_BIT_FLOATS | {Precision.FP8}


def _ampere(chip_class: str) -> Abilities:
    return Abilities(Architecture.AMPERE, chip_class, _AMPERE, _BELOW_ADA, flash_attention=2, fp8_kv=False)


def _gb20x(unified: bool) -> Abilities:
    return Abilities(
        Architecture.BLACKWELL,
        "gb20x",
        _BLACKWELL,
        _WEIGHTS,
        flash_attention=2,
        fp8_kv=False,
        unified_memory=unified,
    )


CAPABILITIES: dict[str, Abilities] = {
    # Marlin, which unpacks GPTQ, AWQ, FP8 and FP4, begins at 7.5; its MXFP4 at 8.0.
    "7.0": Abilities(Architecture.VOLTA, "volta", _FP16, _GGUF_AND_BNB, flash_attention=None, fp8_kv=None),
    "7.5": Abilities(
        Architecture.TURING,
        "turing",
        _FP16 | {Precision.INT8},
        _BELOW_ADA - {Precision.MXFP4},
        flash_attention=None,
        fp8_kv=None,
    ),
    "8.0": _ampere("a100"),
    "8.6": _ampere("ga10x"),
    "8.9": Abilities(
        Architecture.ADA, "ada", _ADA, _WEIGHTS | _FOUR_BIT_FLOATS, flash_attention=2, fp8_kv=False
    ),
    "9.0": Abilities(
        Architecture.HOPPER, "hopper", _ADA, _WEIGHTS | _FOUR_BIT_FLOATS, flash_attention=3, fp8_kv=True
    ),
    "10.0": Abilities(
        Architecture.BLACKWELL, "blackwell", _BLACKWELL, _WEIGHTS, flash_attention=4, fp8_kv=True
    ),
    "12.0": _gb20x(unified=False),
    "12.1": _gb20x(unified=True),
    "gfx942": Abilities(
        Architecture.CDNA3, "cdna3", _ADA, _GGUF_AND_BNB, flash_attention=2, fp8_kv=True, vendor="amd"
    ),
}


def numbers(capability: str) -> tuple[int, ...]:
    """A compute capability for comparison: (8, 6) of 8.6."""
    return tuple(int(part) for part in capability.split("."))
