"""Install vLLM's CPU build from a lock file into a Python environment of its own, completely or not at all."""

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
from tierup.local.toolchain.install_run import InstallMethodFailed, InstallRun, install_lock, run
from tierup.local.toolchain.pins import ToolchainError

LOCK = Path(__file__).parents[3] / "requirements" / "engine-cpu.txt"
# Every package of the lock has wheels for these (llguidance asks for glibc 2.31, the newest of all).
MACHINES = ("x86_64", "aarch64")
PYTHONS = ((3, 11), (3, 14))
GLIBC = (2, 31)
# Proves that the kernels run on this processor and find their system library.
CHECK = (
    "import torch; from vllm.platforms import current_platform as here; here.import_kernels();"
    "torch.ops._C.init_cpu_memory_env"
)
HINT = "vLLM needs libnuma (sudo apt-get install libnuma1) and, on x86, a processor with AVX2"


class EngineMissing(ToolchainError):
    """An environment is not installed, as that of vLLM's CPU build."""


def unsupported_reason() -> str | None:
    """Why vLLM's CPU build does not support this machine; None if it does."""
    libc, libc_version = platform.libc_ver()
    glibc = tuple(int(part) for part in libc_version.split(".")[:2]) if libc == "glibc" else (0, 0)
    if sys.platform == "linux" and platform.machine() in MACHINES and glibc >= GLIBC:
        if PYTHONS[0] <= sys.version_info[:2] <= PYTHONS[1]:
            return _processor_problem(cpu_flags())
    low, high = ("{}.{}".format(*version) for version in PYTHONS)
    machine = f"{sys.platform} {platform.machine()}, Python {platform.python_version()}"
    return (
        f"vLLM's CPU build has no wheels for {machine}, {libc or 'libc'} {libc_version} "
        f"(there are wheels for linux {' and '.join(MACHINES)}, Python {low} to {high}, "
        f"glibc {GLIBC[0]}.{GLIBC[1]} or newer)"
    )


def _processor_problem(flags: Collection[str]) -> str | None:
    """Even the slowest x86 kernels need AVX2. A processor without a flag list is assumed to have it."""
    if platform.machine() == "x86_64" and flags and "avx2" not in flags:
        return "vLLM's CPU build needs the processor flag avx2, which this machine does not have"
    return None


@dataclass(frozen=True)
class EngineEnv:
    """A lock file of packages and the cache folder for its environment; `check` is Python code that proves it works.

    Messages use the other fields: the environment's name, the cost of installing it, a hint when the check fails, the
    target of make that installs it.
    """

    lock: Path
    cache: Path
    check: str = CHECK
    name: str = "vLLM's CPU build"
    install_cost: str = "about 5 GB and 3 minutes"
    hint: str = HINT
    target: str = "engine-env"

    @cached_property
    def folder(self) -> Path:
        """The environment's folder; its name changes with the lock file, the Python version and the machine."""
        target = f"{sys.version_info[:2]} {sys.platform} {platform.machine()}\n"
        return self.cache / hashlib.sha256(target.encode() + self.lock.read_bytes()).hexdigest()[:12]

    def python(self) -> Path:
        """The environment's interpreter; raises EngineMissing."""
        file = self.folder / "bin" / "python"
        if not file.exists():
            raise EngineMissing(f"{self.name} is not in {self.folder}: run `make {self.target}`")
        return file

    def ensure(self, echo: Callable[[str], None]) -> Path:
        """Install the environment unless it exists; returns its folder.

        Raises:
            ToolchainError: it could not be installed; the message says why.
        """
        if not self._installed():
            try:
                self.cache.mkdir(parents=True, exist_ok=True)
                with install_lock(self.cache, echo):
                    if not self._installed():  # the install that we waited for may have done it
                        self._install(echo)
            except InstallMethodFailed as failed:
                raise ToolchainError(f"{self.name} could not be installed: {failed}") from failed
            except OSError as error:
                raise ToolchainError(f"the folder {self.cache} cannot be used: {error}") from error
        return self.folder

    def _installed(self) -> bool:
        return (self.folder / "bin" / "python").exists()

    def _install(self, echo: Callable[[str], None]) -> None:
        """Install into a scratch folder and rename it at the end, so that the folder is always complete."""
        for stale in self.cache.glob("scratch-*"):
            shutil.rmtree(stale, ignore_errors=True)  # we hold the lock, so its installer has ended
        started = time.monotonic()
        with tempfile.TemporaryDirectory(
            prefix="scratch-", dir=self.cache, ignore_cleanup_errors=True
        ) as scratch:
            install_run = InstallRun(Path(scratch), self.folder / "bin", self.cache, echo)
            venv = install_run.scratch / "venv"
            run([sys.executable, "-m", "venv", "--without-pip", str(venv)], install_run.scratch, install_run)
            echo(f"installing {self.lock.name} into {self.folder}: {self.install_cost}")
            run(
                self._pip(venv / "bin" / "python", install_run),
                install_run.scratch,
                install_run,
                label="installing packages",
            )
            try:
                run([str(venv / "bin" / "python"), "-c", self.check], install_run.scratch, install_run)
            except InstallMethodFailed as failed:
                raise InstallMethodFailed(
                    f"the installed packages do not work: {failed} - {self.hint}"
                ) from failed
            shutil.rmtree(self.folder, ignore_errors=True)  # left by an interpreter that was removed
            venv.rename(self.folder)
        echo(f"installed in {time.monotonic() - started:.0f} s")

    def _pip(self, python: Path, install_run: InstallRun) -> list[str]:
        """The pip command. The lock is complete, so pip resolves nothing; it leaves no copy in its cache or in /tmp."""
        tmp = install_run.scratch / "tmp"
        tmp.mkdir(exist_ok=True)
        flags = ("--no-deps", "--only-binary=:all:", "--no-cache-dir", "--no-compile", "--quiet")
        pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", str(python), "install"]
        return ["env", f"TMPDIR={tmp}", *pip, *flags, "-r", str(self.lock)]


def default() -> EngineEnv:
    """The environment of the committed lock file, in the user's cache folder."""
    return EngineEnv(LOCK, cache_root() / "engine")


def main() -> int:
    if reason := unsupported_reason():
        print(f"NOT INSTALLED: {reason}", file=sys.stderr)
        return 0
    return install(default(), "engine")


def install(env: EngineEnv, what: str) -> int:
    """Install an environment for a program's user: prints the steps and the result, and returns the exit code."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        folder = env.ensure(lambda line: print(line, flush=True))
        print(f"{what} ready: {folder}")
    except ToolchainError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted - run it again to start over", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
