"""The processor that the tests assume: this machine's, or with TIERUP_TEST_CPU=avx2 one without AVX-512.

Then the servers do not use it either: their engine loads its AVX2 kernels, and tests read flags without it.
"""

import os
from pathlib import Path

from tierup.local.machine.cpu import cpu_flags

_ASKED = os.environ.get("TIERUP_TEST_CPU", "")
_SITE = """import torch.cpu
torch.cpu._is_avx512_supported = torch.cpu._is_avx512_bf16_supported = torch.cpu._is_vnni_supported = lambda: False
torch.cpu._is_amx_tile_supported = torch.cpu._is_amx_fp16_supported = lambda: False
"""
if _ASKED not in ("", "avx2"):
    raise ValueError(f"TIERUP_TEST_CPU: is not known - got {_ASKED}, allowed avx2")


def flags() -> frozenset[str]:
    """The instruction sets of the assumed processor."""
    return frozenset(flag for flag in cpu_flags() if not (_ASKED and flag.startswith(("avx512", "amx"))))


def environment(folder: Path) -> dict[str, str]:
    """Environment for the engine's interpreter on the assumed processor; `folder` gets the files that it needs."""
    if not _ASKED:
        return {}
    site = folder / "avx2"
    site.mkdir(parents=True, exist_ok=True)
    (site / "sitecustomize.py").write_text(_SITE)  # every interpreter reads it when it starts
    return {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2", "PYTHONPATH": str(site)}
