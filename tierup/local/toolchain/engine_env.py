"""Where vLLM's CPU build lives: the locked packages in a Python environment of their own, whole or not at all."""

import hashlib
import platform
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from tierup.local.machine.cpu import cpu_flags
from tierup.local.toolchain.cli import cache_root
from tierup.local.toolchain.pins import ToolchainError
from tierup.local.toolchain.workshop import WayFailed, Workshop, one_at_a_time, run

LOCK = Path(__file__).parents[3] / "requirements" / "engine-cpu.txt"
# Every package of the lock has wheels for these (llguidance asks for glibc 2.31, the newest of all).
MACHINES = ("x86_64", "aarch64")
PYTHONS = ((3, 11), (3, 14))
GLIBC = (2, 31)
# The kernels are for this processor and find their system library.
CHECK = (
    "import torch; from vllm.platforms import current_platform as here; here.import_kernels();"
    "torch.ops._C.init_cpu_memory_env"
)
HINT = "vLLM needs libnuma (sudo apt-get install libnuma1) and, on x86, a processor with AVX2"


class EngineMissing(ToolchainError):
    """vLLM's CPU build is not installed."""


def unsupported() -> str | None:
    """Why no such build exists for this machine; None when there is one."""
    libc, found = platform.libc_ver()
    have = (
        f"{sys.platform} {platform.machine()}, Python {platform.python_version()}, {libc or 'libc'} {found}"
    )
    glibc = tuple(int(part) for part in found.split(".")[:2]) if libc == "glibc" else (0, 0)
    if sys.platform == "linux" and platform.machine() in MACHINES and glibc >= GLIBC:
        if PYTHONS[0] <= sys.version_info[:2] <= PYTHONS[1]:
            return _lacking(cpu_flags())
    low, high = ("{}.{}".format(*version) for version in PYTHONS)
    return (
        f"vLLM's CPU build has no wheels for {have} (it has for linux {' and '.join(MACHINES)}, "
        f"Python {low} to {high}, glibc {GLIBC[0]}.{GLIBC[1]} or newer)"
    )


def _lacking(flags: Collection[str]) -> str | None:
    """Its slowest kernels for x86 are for AVX2; what lists no flags is taken for able."""
    if platform.machine() == "x86_64" and flags and "avx2" not in flags:
        return "vLLM's CPU build needs the flag avx2, which this processor lacks"
    return None


@dataclass(frozen=True)
class EngineEnv:
    """One lock of packages and the cache its environment is installed in; `check` proves that it works.

    The other words are for messages: what it is, what installing takes, what may be missing.
    """

    lock: Path
    cache: Path
    check: str = CHECK
    name: str = "vLLM's CPU build"
    takes: str = "about 5 GB and 3 minutes"
    hint: str = HINT

    @cached_property
    def folder(self) -> Path:
        """Changes with the lock, the Python version and the machine."""
        where = f"{sys.version_info[:2]} {sys.platform} {platform.machine()}\n"
        return self.cache / hashlib.sha256(where.encode() + self.lock.read_bytes()).hexdigest()[:12]

    def python(self) -> Path:
        """The environment's interpreter; raises EngineMissing."""
        file = self.folder / "bin" / "python"
        if not file.exists():
            raise EngineMissing(f"vLLM's CPU build is not in {self.folder}: run `make engine-env`")
        return file

    def ensure(self, echo: Callable[[str], None]) -> Path:
        """Install it unless it is there; returns its folder.

        Raises:
            ToolchainError: it could not be installed, and why.
        """
        if not self._installed():
            try:
                self.cache.mkdir(parents=True, exist_ok=True)
                with one_at_a_time(self.cache, echo):
                    if not self._installed():  # by the one we waited for
                        self._install(echo)
            except WayFailed as failed:
                raise ToolchainError(f"{self.name} could not be installed: {failed}") from failed
            except OSError as error:
                raise ToolchainError(f"the folder {self.cache} cannot be used: {error}") from error
        return self.folder

    def _installed(self) -> bool:
        return (self.folder / "bin" / "python").exists()

    def _install(self, echo: Callable[[str], None]) -> None:
        """Aside, then renamed: the folder of the lock is there only when all of it is."""
        for stale in self.cache.glob("scratch-*"):
            shutil.rmtree(stale, ignore_errors=True)  # we hold the lock: whoever made it is gone
        started = time.monotonic()
        with tempfile.TemporaryDirectory(
            prefix="scratch-", dir=self.cache, ignore_cleanup_errors=True
        ) as scratch:
            shop = Workshop(Path(scratch), self.folder / "bin", self.cache, echo)
            aside = shop.scratch / "venv"
            run([sys.executable, "-m", "venv", "--without-pip", str(aside)], shop.scratch, shop)
            echo(f"installing {self.lock.name} into {self.folder}: {self.takes}")
            run(self._pip(aside / "bin" / "python", shop), shop.scratch, shop, beat="installing packages")
            try:
                run([str(aside / "bin" / "python"), "-c", self.check], shop.scratch, shop)
            except WayFailed as failed:
                raise WayFailed(f"the installed packages do not work: {failed} - {self.hint}") from failed
            shutil.rmtree(self.folder, ignore_errors=True)  # of an interpreter that has gone
            aside.rename(self.folder)
        echo(f"installed in {time.monotonic() - started:.0f} s")

    def _pip(self, python: Path, shop: Workshop) -> list[str]:
        """The lock is complete, so nothing else is looked for; no second copy of 3 GB in pip's own cache or in /tmp."""
        tmp = shop.scratch / "tmp"
        tmp.mkdir(exist_ok=True)
        flags = ("--no-deps", "--only-binary=:all:", "--no-cache-dir", "--no-compile", "--quiet")
        pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", str(python), "install"]
        return ["env", f"TMPDIR={tmp}", *pip, *flags, "-r", str(self.lock)]


def default() -> EngineEnv:
    """The committed lock, in the user's cache folder."""
    return EngineEnv(LOCK, cache_root() / "engine")


def main() -> int:
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if reason := unsupported():
        print(f"NOT INSTALLED: {reason}", file=sys.stderr)
        return 0
    try:
        folder = default().ensure(lambda line: print(line, flush=True))
        print(f"engine ready: {folder}")
    except ToolchainError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted; run it again to start anew", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
