"""Where a headless browser comes from: PATH, else Debian's package, unpacked with the libraries that are not here.

Unlike the pinned tools it is a folder, and what it needs depends on the machine, so it is kept beside them.
"""

import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from tierup.local.toolchain.cli import ToolchainError, cache_root
from tierup.local.toolchain.ways import unpack
from tierup.local.toolchain.workshop import WayFailed, Workshop, one_at_a_time, run

PACKAGE = "chromium-headless-shell"
ON_PATH = (PACKAGE, "chromium", "google-chrome", "google-chrome-stable", "chromium-browser")
HINT = f"run `make browser-env`, or install one: sudo apt-get install {PACKAGE}"
_PROGRAM = f"usr/lib/chromium/{PACKAGE}"


class BrowserMissing(ToolchainError):
    """There is no browser on PATH, and none was or can be unpacked."""


def browser() -> list[str]:
    """The words that start it headless; raises BrowserMissing."""
    for name in ON_PATH:
        if found := shutil.which(name):
            return [found, "--headless"]
    root = _folder()
    if not (root / _PROGRAM).is_file():
        raise BrowserMissing(f"no {', '.join(ON_PATH)} on PATH - {HINT}")
    libraries = sorted({str(file.parent) for file in root.glob("usr/lib/*-linux-*/**/*.so*")})
    return ["env", f"LD_LIBRARY_PATH={':'.join(libraries)}", str(root / _PROGRAM), "--headless"]


def install(echo: Callable[[str], None]) -> None:
    """Unpack it, unless one is there.

    Raises:
        BrowserMissing: apt-get or dpkg is missing, or a package could not be had.
    """
    try:
        browser()
    except BrowserMissing:
        if not (shutil.which("apt-get") and shutil.which("dpkg")):
            raise BrowserMissing(f"no apt-get and dpkg here - {HINT}") from None
        cache = _folder().parent
        cache.mkdir(parents=True, exist_ok=True)
        with one_at_a_time(cache, echo), tempfile.TemporaryDirectory(dir=cache) as scratch:
            try:
                _unpack_all(Workshop(Path(scratch), cache, cache, echo), Path(scratch) / "package")
            except WayFailed as failed:
                raise BrowserMissing(str(failed)) from failed


def _unpack_all(shop: Workshop, folder: Path) -> None:
    """The package first: where package lists are missing this fetches them, and the rest needs them."""
    unpack(shop, PACKAGE, folder)
    plan = run(
        ["apt-get", *shop.apt_options, "install", "--simulate", "--no-install-recommends", PACKAGE],
        folder,
        shop,
    )
    needed = [line.split()[1] for line in plan.splitlines() if line.startswith("Inst ")]
    for place, package in enumerate(needed, 1):
        shop.echo(f"[{place:>{len(str(len(needed)))}}/{len(needed)}] {package}")
        if package != PACKAGE:
            unpack(shop, package, folder)
    shutil.rmtree(_folder(), ignore_errors=True)
    (folder / "root").rename(_folder())


def _folder() -> Path:
    return cache_root() / "browser" / "root"


def main() -> int:
    try:
        install(lambda line: print(line, flush=True))
        print(f"browser ready: {browser()[-2]}")
    except (BrowserMissing, OSError) as failed:
        print(f"error: {failed}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
