"""Instruction sets of this machine's processor, read from /proc/cpuinfo."""

from collections.abc import Collection
from pathlib import Path

_CPUINFO = Path("/proc/cpuinfo")
# PyTorch's definition of AVX-512, which vLLM uses to choose its kernels; tests/engine checks it against PyTorch.
_AVX512 = frozenset({"avx512f", "avx512bw", "avx512dq", "avx512vl"})
_FP8_FLAGS = f"{' '.join(sorted(_AVX512))}, or amx_tile"


def cpu_flags(file: Path = _CPUINFO) -> frozenset[str]:
    """The instruction sets by Linux's names ("avx2", "avx512f", "asimd"); empty if Linux lists none."""
    for line in file.read_text(encoding="utf-8").splitlines() if file.exists() else []:
        name, _, flags = line.partition(":")
        if name.strip() in ("flags", "Features"):  # x86, Arm
            return frozenset(flags.split())
    return frozenset()


def fp8_kv_cache_problem(flags: Collection[str]) -> str | None:
    """Why vLLM's CPU build cannot keep an FP8 KV cache on a processor with these flags; None if it can."""
    if set(flags) >= _AVX512 or "amx_tile" in flags:
        return None
    return f"on a CPU, vLLM supports an FP8 KV cache only with the flags {_FP8_FLAGS}, and this processor has neither"
