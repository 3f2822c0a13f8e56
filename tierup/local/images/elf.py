"""The shared libraries that programs of this machine need, found by the machine's own loader."""

import re
import subprocess
from collections.abc import Iterable
from pathlib import Path

_FOUND = re.compile(r"^\s*(?:\S+ => )?(/\S+) \(0x[0-9a-f]+\)$")
_MISSING = re.compile(r"^\s*(\S+) => not found$")
_NAME_SERVICE = ("libnss_files.so.2", "libnss_dns.so.2")  # glibc before 2.34 loads them without naming them


def libraries(programs: Iterable[Path], *, optional: bool = False) -> dict[str, Path]:
    """The shared libraries and loaders of programs, by their path in an image, which is that on this machine.

    Raises FileNotFoundError with the libraries that this machine lacks, unless they are `optional`.
    """
    found: dict[str, Path] = {}
    missing: list[str] = []
    for program in programs:
        # It reports a static program, which needs nothing, as an error.
        result = subprocess.run(["ldd", program], capture_output=True, text=True, check=False)
        for line in result.stdout.splitlines():
            if match := _FOUND.match(line):
                found[match[1].lstrip("/")] = Path(match[1])
            elif match := _MISSING.match(line):
                missing.append(f"{match[1]} of {program}")
    if missing and not optional:
        raise FileNotFoundError(f"no shared library {', '.join(missing)}")
    for libc in [path for path in found.values() if path.name == "libc.so.6"]:
        beside = (libc.with_name(name) for name in _NAME_SERVICE)
        found |= {str(path).lstrip("/"): path for path in beside if path.exists()}
    return found
