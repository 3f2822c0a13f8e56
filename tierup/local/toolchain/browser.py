"""Find or install a headless browser: from PATH, else Debian's package, unpacked with its missing libraries.

Unlike a pinned tool it is a folder, and its dependencies vary by machine, so it has its own place in the cache.
"""

import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from tierup.local.toolchain.cli import ToolchainError, cache_root
from tierup.local.toolchain.install_run import InstallMethodFailed, InstallRun, install_lock, run
from tierup.local.toolchain.methods import unpack

PACKAGE = "chromium-headless-shell"
ON_PATH = (PACKAGE, "chromium", "google-chrome", "google-chrome-stable", "chromium-browser")
HINT = f"run `make browser-env`, or install one: sudo apt-get install {PACKAGE}"
_PROGRAM = f"usr/lib/chromium/{PACKAGE}"


class BrowserMissing(ToolchainError):
    """There is no browser on PATH and none is unpacked in the cache."""


def browser_command() -> list[str]:
    """The command line that starts the browser headless; raises BrowserMissing."""
    for name in ON_PATH:
        if program := shutil.which(name):
            return [program, "--headless"]
    root = _folder()
    if not (root / _PROGRAM).is_file():
        raise BrowserMissing(f"no {', '.join(ON_PATH)} on PATH - {HINT}")
    libraries = sorted({str(file.parent) for file in root.glob("usr/lib/*-linux-*/**/*.so*")})
    return ["env", f"LD_LIBRARY_PATH={':'.join(libraries)}", str(root / _PROGRAM), "--headless"]


def install(echo: Callable[[str], None]) -> None:
    """Unpack a browser unless there is one already.

    Raises:
        BrowserMissing: apt-get or dpkg is missing, or a package could not be fetched.
    """
    try:
        browser_command()
    except BrowserMissing:
        if not (shutil.which("apt-get") and shutil.which("dpkg")):
            raise BrowserMissing(f"apt-get and dpkg are not installed - {HINT}") from None
        cache = _folder().parent
        cache.mkdir(parents=True, exist_ok=True)
        with install_lock(cache, echo), tempfile.TemporaryDirectory(dir=cache) as scratch:
            try:
                _unpack_all(InstallRun(Path(scratch), cache, cache, echo), Path(scratch) / "package")
            except InstallMethodFailed as failed:
                raise BrowserMissing(str(failed)) from failed


def _unpack_all(install_run: InstallRun, folder: Path) -> None:
    """Unpack the browser's package, then its dependencies: the first download also fetches missing package lists."""
    unpack(install_run, PACKAGE, folder)
    simulation = run(
        ["apt-get", *install_run.apt_options, "install", "--simulate", "--no-install-recommends", PACKAGE],
        folder,
        install_run,
    )
    needed = [line.split()[1] for line in simulation.splitlines() if line.startswith("Inst ")]
    for number, package in enumerate(needed, 1):
        install_run.echo(f"[{number:>{len(str(len(needed)))}}/{len(needed)}] {package}")
        if package != PACKAGE:
            unpack(install_run, package, folder)
    shutil.rmtree(_folder(), ignore_errors=True)
    (folder / "root").rename(_folder())


def _folder() -> Path:
    return cache_root() / "browser" / "root"


def main() -> int:
    try:
        install(lambda line: print(line, flush=True))
        print(f"browser ready: {browser_command()[-2]}")
    except (BrowserMissing, OSError) as failed:
        print(f"error: {failed}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
