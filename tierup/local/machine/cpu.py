"""What this machine's processor can do, as Linux lists it."""

from collections.abc import Collection
from pathlib import Path

_CPUINFO = Path("/proc/cpuinfo")
# What PyTorch calls AVX-512, by which vLLM chooses its kernels; tests/engine asks PyTorch too.
_AVX512 = frozenset({"avx512f", "avx512bw", "avx512dq", "avx512vl"})
_FP8_NEEDS = f"{' '.join(sorted(_AVX512))}, or amx_tile"


def cpu_flags(file: Path = _CPUINFO) -> frozenset[str]:
    """The instruction sets by Linux's names ("avx2", "avx512f", "asimd"); empty where none are listed."""
    for line in file.read_text(encoding="utf-8").splitlines() if file.exists() else []:
        name, _, words = line.partition(":")
        if name.strip() in ("flags", "Features"):  # x86, Arm
            return frozenset(words.split())
    return frozenset()


def lacks_fp8_kv_cache(flags: Collection[str]) -> str | None:
    """Why vLLM's CPU build cannot keep its KV cache in FP8 on such a processor; None when it can."""
    if set(flags) >= _AVX512 or "amx_tile" in flags:
        return None
    return f"vLLM keeps an FP8 KV cache on a CPU with the flags {_FP8_NEEDS}, and this processor has neither"
